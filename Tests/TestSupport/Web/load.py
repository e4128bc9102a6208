import http.client, sys, threading
address, port, host = sys.argv[1:4]
over = threading.Event()
def watch():
    sys.stdin.read()
    over.set()
threading.Thread(target=watch, daemon=True).start()
good, bad, names, last = 0, 0, set(), ''
while not over.is_set():
    try:
        connection = http.client.HTTPConnection(address, int(port), timeout=10)
        connection.request('GET', '/', headers={'Host': host})
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        if answer.status == 200:
            good += 1
            names.add(text.split(' ')[0])
        else:
            bad += 1
            last = str(answer.status)
    except Exception as error:
        bad += 1
        last = repr(error)
    if good + bad == 10: print('began', flush=True)
print(good, bad, ','.join(sorted(names)) or '-', last.replace(' ', '_') or '-', flush=True)
