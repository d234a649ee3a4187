#!/bin/sh
# In the folder $1, which is not the checkout: the installed wheel serves the site in every way the README names.
set -eu
cd "$1"
unset PORT

fetch() { # the page and its stylesheet, from the port $1
    for _ in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do
        curl --silent --fail --max-time 5 "http://127.0.0.1:$1/" >page.html 2>/dev/null && break
        sleep 0.5
    done
    grep -q '</html>' page.html
    curl --silent --fail --max-time 5 "http://127.0.0.1:$1$(sed -n 's/.*href="\([^"]*\.css\)".*/\1/p' page.html | head -n 1)" >style.css
    test -s style.css
}

serve() { # the port $1, then the command
    port=$1
    shift
    "$@" >server.log 2>&1 &
    pid=$!
    fetch "$port" || { cat server.log; kill "$pid"; exit 1; }
    kill "$pid"
    wait "$pid" || true
    echo "serves: $*"
}

python -c 'import webdemo; assert "site-packages" in webdemo.__file__, webdemo.__file__'
serve 18081 python -m webdemo --port 18081
serve 18082 webdemo --port 18082 --server waitress
serve 18083 gunicorn webdemo:app -b 127.0.0.1:18083
serve 18084 waitress-serve --listen=127.0.0.1:18084 webdemo:app
PORT=18085 serve 18085 sh -c "exec $(sed -n 's/^web: //p' Procfile)"
