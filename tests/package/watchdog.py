#!/usr/bin/env python3
"""The watchdog is fed only while the store answers: a file system is frozen
under a running server, as a dying disk does, and later thawed.

    tests/package/watchdog.py path/to/sitewarden

Needs root, mke2fs and a loop device.
"""
import os, pathlib, queue, signal, socket, subprocess, sys, tempfile, threading, time

PERIOD_SECONDS = 2
PATIENCE = 60


def run(*command):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)


def main():
    binary = pathlib.Path(sys.argv[1]).resolve()
    # Thawed and unmounted whatever ends this.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    with tempfile.TemporaryDirectory() as room:
        room = pathlib.Path(room)
        disk, image = room / "disk", room / "image"
        disk.mkdir()
        with open(image, "wb") as file:
            file.truncate(64 << 20)
        run("mke2fs", "-q", "-t", "ext4", image)
        run("mount", "-o", "loop", image, disk)
        try:
            freeze_and_thaw(binary, room, disk)
        finally:
            run("umount", disk)


def freeze_and_thaw(binary, room, disk):
    told = queue.Queue()  # what systemd would be told, and what the log says
    notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    notify.bind(str(room / "notify"))
    environment = os.environ | {
        "NOTIFY_SOCKET": str(room / "notify"), "WATCHDOG_USEC": str(PERIOD_SECONDS * 1_000_000),
        "SITEWARDEN_DATA_DIR": str(disk / "data"), "SITEWARDEN_LISTEN": "127.0.0.1:0",
        "SITEWARDEN_METRICS_LISTEN": "", "SITEWARDEN_CONTROL_SOCKET": str(room / "control")}
    server = subprocess.Popen([binary, "serve"], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def hear():
        while True:
            for line in notify.recv(4096).decode().splitlines():
                told.put(line)

    threading.Thread(target=hear, daemon=True).start()
    threading.Thread(target=lambda: [told.put(line) for line in server.stderr], daemon=True).start()

    def wait_for(what, never=None):
        end = time.monotonic() + PATIENCE
        while True:
            try:
                line = told.get(timeout=max(0, end - time.monotonic()))
            except queue.Empty:
                sys.exit(f"watchdog: MISS within {PATIENCE} s: {what}")
            if never and never in line:
                sys.exit(f"watchdog: MISS {never} before: {what}")
            if what in line:
                return

    frozen = False
    try:
        wait_for("READY=1")
        wait_for("WATCHDOG=1")
        print("watchdog: ready, and fed", flush=True)
        run("fsfreeze", "--freeze", disk)
        frozen = True
        change = subprocess.Popen(
            [binary, "site", "add", "--socket", room / "control", "--name", "Trattoria",
             "--email", "mario@example.com", "--expires", "2099-12-31T00:00:00Z"],
            stdout=subprocess.DEVNULL)
        starving = "the store does not answer"
        wait_for(starving)
        # From then on nothing is fed, round after round.
        wait_for(starving, never="WATCHDOG=1")
        wait_for(starving, never="WATCHDOG=1")
        print("watchdog: not fed while the disk is frozen", flush=True)
        run("fsfreeze", "--unfreeze", disk)
        frozen = False
        wait_for("WATCHDOG=1")
        if change.wait(timeout=PATIENCE) != 0:
            sys.exit("watchdog: MISS the change that waited was refused")
        print("watchdog: fed again when it is thawed, and the change that waited is made", flush=True)
    finally:
        if frozen:
            run("fsfreeze", "--unfreeze", disk)
        server.terminate()
        server.wait()


main()
