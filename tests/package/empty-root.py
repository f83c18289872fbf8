#!/usr/bin/env python3
"""The bare binary in a directory that holds nothing else as its root, asked for
a certificate by ACME: it must look up the directory's name by itself, without
the C library's modules and their configuration, and call it over TLS.

    tests/package/empty-root.py path/to/sitewarden

Needs root and openssl. Runs in a network of its own, with a name server and an
ACME directory (which grants nothing) that answer there.
"""
import fcntl, http.server, os, pathlib, queue, shutil, socket, ssl, struct, subprocess, sys, tempfile, threading, time

NAME = "acme.example.com"
PATIENCE = 60
seen = queue.Queue()  # what was asked, in order


def bring_up_loopback():
    """The network namespace is new: nothing is up in it (netdevice(7))."""
    siocgifflags, siocsifflags, iff_up = 0x8913, 0x8914, 1
    with socket.socket() as s:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(s, siocgifflags, request))[1]
        fcntl.ioctl(s, siocsifflags, struct.pack("16sh14x", b"lo", flags | iff_up))


def serve_names(sock):
    """Answers every question for an A record with 127.0.0.1 (RFC 1035)."""
    while True:
        query, client = sock.recvfrom(512)
        labels, at = [], 12
        while query[at]:
            labels.append(query[at + 1:at + 1 + query[at]].decode())
            at += 1 + query[at]
        (kind,) = struct.unpack_from("!H", query, at + 1)
        is_a = kind == 1
        answer = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 60, 4) + socket.inet_aton("127.0.0.1") if is_a else b""
        head = query[:2] + struct.pack("!HHHHH", 0x8580, 1, int(is_a), 0, 0)
        seen.put("looked up " + ".".join(labels))
        sock.sendto(head + query[12:at + 5] + answer, client)


class Directory(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        seen.put(f"asked {self.headers['Host']} for {self.path}")
        self.send_error(503)

    def log_message(self, *args):
        pass


class Server(http.server.ThreadingHTTPServer):
    def handle_error(self, request, client_address):
        pass  # a client that does not trust us


def make_certificates(room):
    """A certificate authority, and from it the directory's certificate."""
    def openssl(*command):
        subprocess.run(["openssl", *command], check=True, capture_output=True, cwd=room)

    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    pathlib.Path(room, "names").write_text(f"subjectAltName=DNS:{NAME}\n")
    openssl("req", "-x509", *key, "-days", "2", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=the directory's CA")
    openssl("req", *key, "-keyout", "directory.key", "-out", "directory.csr", "-subj", f"/CN={NAME}")
    openssl("x509", "-req", "-in", "directory.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-days", "2", "-out", "directory.pem", "-extfile", "names")


def wait_for(what, lines=seen):
    """The first of `lines` that holds `what`."""
    end = time.monotonic() + PATIENCE
    while True:
        try:
            line = lines.get(timeout=max(0, end - time.monotonic()))
        except queue.Empty:
            sys.exit(f"empty-root: MISS within {PATIENCE} s: {what}")
        if what in line:
            return line.strip()


def start(binary, room, ca):
    """Starts the binary in a root of its own; gives the process and its log."""
    root = pathlib.Path(tempfile.mkdtemp(dir=room))
    shutil.copy(binary, root / "sitewarden")
    (root / "etc").mkdir()
    (root / "etc/resolv.conf").write_text("nameserver 127.0.0.1\n")
    environment = {
        "SITEWARDEN_LISTEN": "127.0.0.1:0", "SITEWARDEN_METRICS_LISTEN": "", "SITEWARDEN_TLS__MODE": "acme",
        "SITEWARDEN_TLS__DOMAINS": "licences.example.com",
        "SITEWARDEN_TLS__DIRECTORY_URL": f"https://{NAME}/directory"}
    if ca:
        shutil.copy(ca, root / "ca.pem")
        environment["SITEWARDEN_TLS__CA_FILE"] = "/ca.pem"
    process = subprocess.Popen(["chroot", root, "/sitewarden", "serve"], env=environment | {"PATH": os.environ["PATH"]},
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    log = queue.Queue()
    threading.Thread(target=lambda: [log.put(line) for line in process.stderr], daemon=True).start()
    return process, log


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    # Let's Encrypt's root is among those that are built in.
    if b"ISRG Root X1" not in binary.read_bytes():
        sys.exit("empty-root: MISS no certificate authority is built in")
    print("empty-root: certificate authorities are built in", flush=True)
    os.unshare(os.CLONE_NEWNET) if hasattr(os, "unshare") else unshare_network()
    bring_up_loopback()
    with tempfile.TemporaryDirectory() as room:
        names = socket.socket(type=socket.SOCK_DGRAM)
        names.bind(("127.0.0.1", 53))
        threading.Thread(target=serve_names, args=(names,), daemon=True).start()
        make_certificates(room)
        server = Server(("127.0.0.1", 443), Directory)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{room}/directory.pem", f"{room}/directory.key")
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=server.serve_forever, daemon=True).start()

        process, log = start(binary, room, ca=f"{room}/ca.pem")
        try:
            print("empty-root:", wait_for("looked up " + NAME), flush=True)
            print("empty-root:", wait_for(f"asked {NAME} for /directory"), flush=True)
        finally:
            process.terminate()
            process.wait()
        # Those that are built in do not vouch for this directory.
        process, log = start(binary, room, ca=None)
        try:
            print("empty-root: without tls.ca_file:", wait_for("is not trusted", log), flush=True)
        finally:
            process.terminate()
            process.wait()


def unshare_network():
    """os.unshare() came with Python 3.12."""
    import ctypes
    clone_newnet = 0x40000000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newnet):
        sys.exit(f"empty-root: cannot have a network of its own: {os.strerror(ctypes.get_errno())}")


main()
