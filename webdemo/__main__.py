"""python -m webdemo"""

from webdemo.cli import main

if __name__ == "__main__":
    main()
