#!/usr/bin/env bash
# Says in one line what this machine lacks, before anything is installed.
set -u
missing() { echo "setup: $1; Try: $2" >&2; exit 3; }

version=$("${PYTHON:-python3}" -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) ||
  missing "no Python found" "install Python 3.11 or 3.12 (Debian: apt-get install python3.11 python3.11-venv)"
case "$version" in
  3.11 | 3.12) ;;
  *) missing "Python $version found as ${PYTHON}; expected 3.11 or 3.12" "make PYTHON=/path/to/python3.11 ..." ;;
esac
"${PYTHON:-python3}" -c 'import ensurepip, venv' 2>/dev/null ||
  missing "Python $version has no venv module" "apt-get install python$version-venv"
java=$(command -v java) || missing "no Java found" "install a JDK, 17 or newer (Debian: apt-get install openjdk-17-jdk-headless)"
major=$("$java" -version 2>&1 | sed -nE '1s/.*"([0-9]+).*/\1/p')
[ "${major:-0}" -ge 17 ] || missing "Java ${major:-unknown} found as $java; expected 17 or newer" "install openjdk-17-jdk-headless"
command -v mvn >/dev/null || missing "no Maven found" "apt-get install maven"
free=$(df -Pk . | awk 'NR==2 {print int($4/1024)}')
[ "${free:-0}" -ge 4096 ] || missing "only ${free} MB free in $(pwd); expected 4096 MB" "free some disk space"
