import socket, sys
address, port, host = sys.argv[1:4]
connection = socket.create_connection((address, int(port)), timeout=10)
connection.sendall(f'GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n'
    'Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n'.encode())
head = b''
while not head.endswith(b'\r\n\r\n'): head += connection.recv(1)
print(head.split(b'\r\n')[0].decode(), flush=True)
for line in sys.stdin:
    connection.sendall(line.strip().encode())
    print(connection.recv(100).decode(), flush=True)
