"""What the programs that run in the lab share; beside them, so that they find it."""

import subprocess
import sys
import time


def run(*command, **options):
    done = subprocess.run(command, capture_output=True, text=True, **options)
    if done.returncode != 0:
        sys.exit(f"{' '.join(command)}: {done.stdout}{done.stderr}")
    return done.stdout


def batch(namespace, lines):
    run("ip", "-n", namespace, "-batch", "-", input="\n".join(lines))


def sysctl(namespace, **settings):
    """Names with `.` written as `__`."""
    text = "\n".join(f"{name.replace('__', '.')}={value}" for name, value in settings.items())
    run("ip", "netns", "exec", namespace, "sysctl", "-q", "-p", "-", input=text)


def wait_until(what, test, limit=120, pause=0.05, last_words=lambda: ""):
    """Ends the program if it does not come true within so many seconds of the machine's clock."""
    end = time.monotonic() + limit
    while not test():
        if time.monotonic() > end:
            sys.exit(f"waited in vain for {what}\n{last_words()}")
        time.sleep(pause)
