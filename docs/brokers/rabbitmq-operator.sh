#!/bin/sh
# Creates the account of an operator of a fleet on RabbitMQ, or updates its rules. It reads the password from standard input:
#   rabbitmq-operator.sh harbour operator < password
# A subscription with `+` has `*` in its routing key.
set -eu
fleet=$1 operator=$2
password=$(cat)
printf '%s\n' "${password}" | rabbitmqctl add_user "${operator}" ||
  printf '%s\n' "${password}" | rabbitmqctl change_password "${operator}"

queue="mqtt-subscription-${fleet}_operator-[0-9a-f]+qos[01]"
rabbitmqctl set_permissions "${operator}" "^${queue}\$" "^(amq[.]topic|${queue})\$" "^(amq[.]topic|${queue})\$"

commands="v1[.]${fleet}[.](d[.]([a-z0-9-]+|[*])[.]desired|group[.]([a-z0-9-]+|[*])[.]desired|root[.]([0-9]+|[*]))"
rabbitmqctl set_topic_permissions "${operator}" amq.topic \
  "^(${commands}|v1[.]${fleet}[.]d[.][a-z0-9-]+[.]ask)\$" \
  "^(${commands}|v1[.]${fleet}[.]d[.]([a-z0-9-]+|[*])[.](reported|event|live|telemetry|log))\$"
