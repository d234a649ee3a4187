"""What ports are commonly used for, maintained by hand in addition to IANA's registry.

The rule: an entry says what is likely to listen there today, in terms that developers know; its name is
one that people search for.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Use:
    port: int
    name: str
    meaning: str


USES = (
    Use(20, "ftp-data", "FTP, the files themselves (active mode)"),
    Use(21, "ftp", "FTP, the commands: ftp:// without a port"),
    Use(22, "ssh", "SSH: shells, scp, sftp and git over ssh"),
    Use(23, "telnet", "Telnet: unencrypted shells, still common on network devices"),
    Use(25, "smtp", "Mail between servers; many networks block it for clients"),
    Use(
        53,
        "dns",
        "Names to addresses, on UDP first; a local resolver (systemd-resolved, dnsmasq) may hold it",
    ),
    Use(80, "http", "The web without TLS: http:// without a port"),
    Use(88, "kerberos", "Kerberos tickets"),
    Use(110, "pop3", "Fetching mail, unencrypted"),
    Use(111, "rpcbind", "The port mapper of NFS and other RPC services"),
    Use(123, "ntp", "Time, on UDP"),
    Use(143, "imap", "Reading mail on its server"),
    Use(389, "ldap", "Directories: LDAP, Active Directory"),
    Use(443, "https", "The web with TLS, and HTTP/3 on UDP: https:// without a port"),
    Use(445, "smb", "Windows and Samba file shares"),
    Use(465, "submissions", "Sending mail from a mail program, TLS from the start"),
    Use(514, "syslog", "Log messages, on UDP"),
    Use(587, "submission", "Sending mail from a mail program, STARTTLS"),
    Use(631, "cups", "Printing (CUPS) on Linux and macOS, with a page at http://localhost:631"),
    Use(636, "ldaps", "LDAP with TLS"),
    Use(993, "imaps", "IMAP with TLS"),
    Use(995, "pop3s", "POP3 with TLS"),
    Use(1025, "mailpit", "Mail catchers for development (Mailpit, MailHog), SMTP side"),
    Use(1080, "socks", "SOCKS proxies"),
    Use(1433, "sqlserver", "Microsoft SQL Server"),
    Use(1521, "oracle", "Oracle Database"),
    Use(1883, "mqtt", "MQTT brokers, such as Mosquitto"),
    Use(2049, "nfs", "NFS file shares"),
    Use(2121, "ftp-dev", "FTP servers for development, which need no privilege here"),
    Use(2181, "zookeeper", "Apache ZooKeeper"),
    Use(2375, "docker", "Docker's API without TLS: access to it means root on the machine"),
    Use(2376, "docker-tls", "Docker's API with TLS"),
    Use(2379, "etcd", "etcd, the store of Kubernetes"),
    Use(2525, "smtp-dev", "SMTP servers for development, which need no privilege here"),
    Use(3000, "node", "Development servers of Rails, Next.js and Express; Grafana"),
    Use(3001, "node-next", "The second development server beside one on 3000"),
    Use(3128, "squid", "Squid, the caching proxy"),
    Use(3306, "mysql", "MySQL and MariaDB"),
    Use(3389, "rdp", "Windows Remote Desktop"),
    Use(4000, "phoenix", "Development servers of Phoenix and Jekyll"),
    Use(4200, "angular", "Angular's development server"),
    Use(4321, "astro", "Astro's development server"),
    Use(5000, "airplay", "AirPlay Receiver on macOS (switch it off in System Settings); Flask's default"),
    Use(5050, "pgadmin", "pgAdmin"),
    Use(5173, "vite", "Vite's development server"),
    Use(5353, "mdns", "Names on the local network (Bonjour, Avahi), on UDP"),
    Use(5432, "postgres", "PostgreSQL"),
    Use(5555, "flower", "Flower (Celery's dashboard); Android's adb over the network"),
    Use(5601, "kibana", "Kibana"),
    Use(5672, "rabbitmq", "RabbitMQ (AMQP)"),
    Use(5900, "vnc", "VNC; Screen Sharing on macOS"),
    Use(6000, "x11", "X11 display :0, further displays on the ports after it"),
    Use(6006, "tensorboard", "TensorBoard; Storybook"),
    Use(6379, "redis", "Redis and Valkey"),
    Use(6443, "kubernetes", "The API of Kubernetes"),
    Use(7000, "airplay", "AirPlay Receiver on macOS; Cassandra among its nodes"),
    Use(7860, "gradio", "Gradio"),
    Use(
        8000,
        "webdemo",
        "Development servers of Python: webdemo, Django, Uvicorn, Gunicorn, python -m http.server",
    ),
    Use(8001, "webdemo-next", "The second development server beside one on 8000; kubectl proxy"),
    Use(8025, "mailpit-page", "The page of mail catchers (Mailpit, MailHog)"),
    Use(8080, "http-alt", "The alternative HTTP port: Tomcat, Jenkins, Waitress, proxies, containers"),
    Use(8086, "influxdb", "InfluxDB"),
    Use(8123, "home-assistant", "Home Assistant; ClickHouse over HTTP"),
    Use(8265, "ray", "Ray's dashboard"),
    Use(8443, "https-alt", "The alternative HTTPS port"),
    Use(8500, "consul", "Consul"),
    Use(8501, "streamlit", "Streamlit"),
    Use(8787, "rstudio", "RStudio Server; Dask's dashboard"),
    Use(8888, "jupyter", "Jupyter notebooks"),
    Use(9000, "php-fpm", "PHP-FPM; MinIO, SonarQube and Portainer"),
    Use(9042, "cassandra", "Cassandra's clients"),
    Use(9090, "prometheus", "Prometheus; Cockpit"),
    Use(9092, "kafka", "Apache Kafka"),
    Use(9180, "node-exporter", "Prometheus's node exporter; printers that take raw jobs"),
    Use(9200, "elasticsearch", "Elasticsearch and OpenSearch"),
    Use(9229, "node-inspector", "Node.js's debugger"),
    Use(9418, "git", "git:// without a port"),
    Use(10000, "webmin", "Webmin"),
    Use(11211, "memcached", "Memcached"),
    Use(11434, "ollama", "Ollama"),
    Use(15672, "rabbitmq-page", "RabbitMQ's management page"),
    Use(25565, "minecraft", "Minecraft"),
    Use(27017, "mongodb", "MongoDB"),
    Use(32400, "plex", "Plex"),
    Use(51820, "wireguard", "WireGuard, on UDP"),
)

# https://fetch.spec.whatwg.org/#port-blocking: browsers block these, so that a form on a page cannot send
# data to a mail server or a printer.
# fmt: off
BLOCKED_BY_BROWSERS = frozenset({
    0, 1, 7, 9, 11, 13, 15, 17, 19, 20, 21, 22, 23, 25, 37, 42, 43, 53, 69, 77, 79, 87, 95, 101, 102,
    103, 104, 109, 110, 111, 113, 115, 117, 119, 123, 135, 137, 139, 143, 161, 179, 389, 427, 465, 512,
    513, 514, 515, 526, 530, 531, 532, 540, 548, 554, 556, 563, 587, 601, 636, 989, 990, 993, 995, 1719,
    1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, 6665, 6666, 6667, 6668, 6669, 6679,
    6697, 10080,
})
# fmt: on


def uses(port: int) -> list[Use]:
    return [use for use in USES if use.port == port]
