"""A proxy that takes SDKs with a fixed idea of addresses to the simulator.

An SDK that writes the host of the authorization server into its code, or drops the port of a
portal's address, still obeys `HTTPS_PROXY`. This proxy answers `CONNECT`, shows a certificate for
whatever name was asked, and passes the bytes on to the loopback address that stands for the name.
It never looks at them.
"""

import select
import socket
import socketserver
import ssl
import threading

import trustme

# Seconds without a byte after which a connection is given up.
PATIENCE = 30


class Tunnel:
    """A running proxy. Names it does not know are refused."""

    def __init__(self, upstream_ca_file):
        self._authority = trustme.CA()
        self._routes = {}
        self._contexts = {}
        self._upstream = ssl.create_default_context(cafile=upstream_ca_file)
        tunnel = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self):
                tunnel._serve(self.request, self.rfile, self.wfile)

        self._server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def address(self):
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    @property
    def ca_pem(self):
        return self._authority.cert_pem.bytes().decode()

    def route(self, name, address):
        """From now on port 443 of `name` is this `https://127.0.0.1:PORT`."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._authority.issue_cert(name).configure_cert(context)
        self._contexts[name] = context
        host, port = address.removeprefix("https://").split(":")
        self._routes[name] = (host, int(port))

    def stop(self):
        self._server.shutdown()
        self._server.server_close()

    def _serve(self, client, rfile, wfile):
        verb, target, _ = rfile.readline().decode().split()
        while rfile.readline().strip():
            pass
        name, _, port = target.partition(":")
        if verb != "CONNECT" or port != "443" or name not in self._routes:
            wfile.write(b"HTTP/1.1 403 Forbidden\r\n\r\n")
            return
        wfile.write(b"HTTP/1.1 200 OK\r\n\r\n")
        host, port = self._routes[name]
        with (
            self._contexts[name].wrap_socket(client, server_side=True) as near,
            socket.create_connection((host, port), timeout=PATIENCE) as plain,
            self._upstream.wrap_socket(plain, server_hostname=host) as far,
        ):
            _pass_on(near, far)


def _pass_on(near, far):
    """Passes bytes both ways until either side has had enough."""
    other = {near: far, far: near}
    while True:
        ready = [end for end in other if end.pending()]
        ready = ready or select.select([near, far], [], [], PATIENCE)[0]
        if not ready:
            return
        for end in ready:
            # A readable TLS socket need not hold any data for us.
            end.setblocking(False)
            try:
                data = end.recv(65536)
            except ssl.SSLWantReadError:
                continue
            except OSError:
                return
            finally:
                end.settimeout(PATIENCE)
            if not data:
                return
            other[end].sendall(data)
