#!/bin/sh
# Creates the account of a device of a fleet on RabbitMQ, or updates its rules. It reads the password from standard input:
#   rabbitmq-device.sh harbour crane-7 < password
# RabbitMQ calls the topic v1/harbour/d/crane-7/live the routing key v1.harbour.d.crane-7.live. Rules are regular expressions.
set -eu
fleet=$1 device=$2
password=$(cat)
printf '%s\n' "${password}" | rabbitmqctl add_user "${device}" ||
  printf '%s\n' "${password}" | rabbitmqctl change_password "${device}"

# Objects of AMQP: the queues of the client identifier FLEET_DEVICE, and the exchange that carries MQTT.
queue="mqtt-subscription-${fleet}_${device}qos[01]"
rabbitmqctl set_permissions "${device}" "^${queue}\$" "^(amq[.]topic|${queue})\$" "^(amq[.]topic|${queue})\$"

# Topics: what it may write, and what it may read.
own="v1[.]${fleet}[.]d[.]${device}"
rabbitmqctl set_topic_permissions "${device}" amq.topic \
  "^${own}[.](reported|live|event|get|telemetry|log)\$" \
  "^(${own}[.](desired|live|ask)|v1[.]${fleet}[.]root[.][0-9]+|v1[.]${fleet}[.]group[.][a-z0-9-]+[.]desired)\$"
