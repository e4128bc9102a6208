import http.client, sys

address, port, host = sys.argv[1:4]
print('began', flush=True)
for number in range(2):
    connection = http.client.HTTPConnection(address, int(port), timeout=10)
    connection.request('GET', '/slow', headers={'Host': host})
    print(connection.getresponse().read().decode().strip(), flush=True)
