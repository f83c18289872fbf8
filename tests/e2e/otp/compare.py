"""Compares codes on standard input, as `otp-codes` prints them, with those of
oathtool and pyotp."""

import subprocess
import sys

import pyotp


def by_oathtool(secret, time):
    command = ["oathtool", "--totp", "--base32", f"--now=@{time}", secret]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


lines = [line.split() for line in sys.stdin]
for name, code_of in [
    ("oathtool", by_oathtool),
    ("pyotp", lambda secret, time: pyotp.TOTP(secret).at(int(time))),
]:
    wrong = [line for line in lines if code_of(line[0], line[1]) != line[2]]
    print(f"{name}: {len(lines) - len(wrong)} of {len(lines)} codes agree")
    if wrong or not lines:
        sys.exit(f"{name} disagrees: {wrong[:3]}")
