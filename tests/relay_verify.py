#!/usr/bin/env python3
"""Numbered records: make them, and count every one where they have arrived. For tests/relay_rig.sh.

feed RATE KEYS STOP FED    lines "key:number padding" to stdout, each key counting from 0, until the file STOP is there;
                           FED says how many each key got
exact KEYS FED             stdin, lines "partition key number padding": each record of each key once, in order, in one partition
complete KEYS FED          … at least once; the first of each in order
Exit: 0 as it should be, 1 not (and can never become so), 2 some are missing yet.
"""
import os
import sys
import time


def feed(rate, keys, stop, fed):
    begun, number, out = time.monotonic(), 0, sys.stdout
    while not os.path.exists(stop):
        out.write("".join(f"key-{k}:{number} {'x' * (number * 7 % 200)}\n" for k in range(keys)))
        out.flush()
        number += 1
        ahead = begun + number * keys / rate - time.monotonic()
        if ahead > 0:
            time.sleep(ahead)  # the rate; nothing waits for it
    with open(fed, "w") as file:
        file.write(str(number))


def count(mode, keys, fed):
    number, doubled, total = int(open(fed).read()), 0, 0
    next_of, partition_of = [0] * keys, {}
    for line in sys.stdin:
        partition, key, value = line.split(" ")[:3]
        k, n = int(key[4:]), int(value)
        total += 1
        if partition_of.setdefault(k, partition) != partition:
            return 1, f"{key} is in the partitions {partition_of[k]} and {partition}"
        if n == next_of[k]:
            next_of[k] += 1
        elif n < next_of[k]:
            doubled += 1
            if mode == "exact":
                return 1, f"{key}: {n} a second time, after {next_of[k] - 1} (record {total})"
        else:
            return 1, f"{key}: {n} after {next_of[k] - 1}: some are lost or out of order (record {total})"
    missing = sum(number - n for n in next_of)
    if missing < 0:
        return 1, f"{-missing} more than were fed"
    if missing > 0:
        return 2, f"{missing} of {number * keys} missing at the end"
    return 0, f"{number * keys} records, none lost, {doubled or 'none'} doubled, in order for each key"


if __name__ == "__main__":
    if sys.argv[1] == "feed":
        feed(float(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5])
    else:
        code, text = count(sys.argv[1], int(sys.argv[2]), sys.argv[3])
        print(text)
        sys.exit(code)
