"""Opens connections, says "held", and keeps them until its standard input ends.

usage: hold_connections.py COUNT unix PATH [REQUEST]
       hold_connections.py COUNT tcp PORT [REQUEST]

Over TCP each comes from another address of loopback. On a Unix socket what is refused or closed is opened again, again
and again.
"""

import select
import socket
import sys

count, family, where = int(sys.argv[1]), sys.argv[2], sys.argv[3]
request = sys.argv[4].encode().decode("unicode_escape").encode() if len(sys.argv) > 4 else b""


def connect(number):
    if family == "unix":
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(where)
    else:
        connection = socket.socket(socket.AF_INET)
        connection.bind((f"127.0.1.{number % 250 + 1}", 0))
        connection.connect(("127.0.0.1", int(where)))
    connection.sendall(request)
    return connection


held = {}
for number in range(count):
    connection = connect(number)
    held[connection] = number
print("held", flush=True)
while True:
    ready, _, _ = select.select([sys.stdin, *held], [], [])
    if sys.stdin in ready:
        break
    for connection in ready:
        try:
            if connection.recv(65536):
                continue
        except OSError:
            pass
        number = held.pop(connection)
        connection.close()
        if family == "tcp":
            continue
        try:
            held[connect(number)] = number
        except OSError:
            pass
