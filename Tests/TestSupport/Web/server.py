import base64, hashlib, http.server, socket, socketserver, struct, sys, threading, time
sick = set()
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = 'HTTP/1.1'
    proxied = None
    def setup(self):
        if self.request.recv(12, socket.MSG_PEEK) == b'\r\n\r\n\x00\r\nQUIT\n':
            head = self.request.recv(16, socket.MSG_WAITALL)
            rest = self.request.recv(struct.unpack('!H', head[14:16])[0], socket.MSG_WAITALL)
            if head[12] & 15: self.proxied = socket.inet_ntoa(rest[:4])
        super().setup()
    def do_GET(self):
        name = self.server.name
        status = 200
        if self.path == '/sick': sick.symmetric_difference_update({name})
        if self.path == '/health' and name in sick: status = 503
        if self.path == '/slow': time.sleep(1)
        if self.headers.get('Upgrade') == 'websocket': return self.echo(name)
        seen = {'host': self.headers.get('Host'), 'path': self.path, 'for': self.headers.get('X-Forwarded-For'),
                'proto': self.headers.get('X-Forwarded-Proto'), 'peer': self.client_address[0], 'proxied': self.proxied}
        body = (name + ' ' + ' '.join(f'{k}={v}' for k, v in seen.items()) + '\n').encode()
        self.send_response(status)
        self.send_header('Content-Length', str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def echo(self, name):
        key = self.headers['Sec-WebSocket-Key'] + '258EAFA5-E914-47DA-95CA-C5AB0DC85B11'
        self.send_response(101)
        self.send_header('Upgrade', 'websocket')
        self.send_header('Connection', 'Upgrade')
        self.send_header('Sec-WebSocket-Accept', base64.b64encode(hashlib.sha1(key.encode()).digest()).decode())
        self.end_headers()
        self.close_connection = True
        while data := self.connection.recv(100): self.connection.sendall(name.encode() + b':' + data)
    def log_message(self, *ignored): pass
class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512
    def handle_error(self, *ignored): pass
for word in sys.argv[1:]:
    name, place = word.split('=')
    address, port = place.rsplit(':', 1)
    server = Server((address, int(port)), Handler)
    server.name = name
    threading.Thread(target=server.serve_forever, daemon=True).start()
print('ready', flush=True)
sys.stdin.read()
