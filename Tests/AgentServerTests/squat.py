"""Listens at a path, says "held", and answers nothing until its standard input ends. usage: squat.py PATH"""

import socket
import sys

listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen()
print("held", flush=True)
sys.stdin.read()
