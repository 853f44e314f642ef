#!/bin/bash
# Goal: the ten minutes of README.md are ten minutes that work.
# Method: as docs_apps.sh.    CAIRN_BIN names the program (build/cairn).
exec "$(dirname "$0")/docs_apps.sh" "$(dirname "$0")/../../README.md"
