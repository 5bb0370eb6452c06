"""A small TCP server on one port, over both families: greets whoever connects, then gives every line back.

It plays the ssh server of the host, and the servers outside that the host connects to.
"""

import socket
import socketserver
import sys


class _Greeting(socketserver.StreamRequestHandler):
    disable_nagle_algorithm = True

    def handle(self) -> None:
        self.wfile.write(f"{sys.argv[2]}\r\n".encode())
        try:
            for line in self.rfile:
                self.wfile.write(line)
        except ConnectionError:
            pass  # whoever only looked whether somebody is there


class _Server(socketserver.ThreadingTCPServer):
    address_family = socket.AF_INET6
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 64

    def server_bind(self) -> None:
        self.socket.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
        super().server_bind()


if __name__ == "__main__":
    with _Server(("::", int(sys.argv[1])), _Greeting) as server:
        server.serve_forever()
