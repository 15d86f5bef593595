#!/bin/sh
# Segment what is new under a prefix, once a night:
#   15 2 * * *  PREFIX=s3://images/photos/ OUT=/data/masks /opt/maskworks/nightly.sh
# MASKWORKS_URL and MASKWORKS_API_KEY are in ~/.config/maskworks/config.toml, or in the environment.
set -eu
day=$(date +%F)

# The key makes one job a night, also where cron or somebody runs this twice. --reuse computes only new images.
maskworks submit "$PREFIX" --reuse --name "nightly $day" --idempotency-key "nightly-$day" \
  --wait --export coco --to "$OUT/$day.json" || code=$?

case ${code:-0} in
  0) ;;
  3) echo "some images failed: see maskworks jobs --label, or results --state failed" >&2 ;;
  *) exit "$code" ;;
esac
