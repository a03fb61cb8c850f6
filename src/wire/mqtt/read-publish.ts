import { ConnectionLost, type Message } from './transport.ts';

/**
 * Reads the body of a PUBLISH of QoS 0 (MQTT 3.1.1 §3.3, MQTT 5 §3.3): topic, in MQTT 5 properties,
 * payload. Nothing of the properties is used. The topic is never empty, because this client allows
 * no topic aliases. The payload is a view of `body`.
 *
 * @throws ConnectionLost `protocol` for a body that ends early or has no topic
 */
export function readPublish(body: Buffer, version: 4 | 5): Message {
  const topicEnd = body.length < 2 ? Infinity : 2 + body.readUInt16BE(0);
  const end = version === 5 ? propertiesEnd(body, topicEnd) : topicEnd;
  if (topicEnd === 2 || end > body.length)
    throw new ConnectionLost('protocol', 'the broker sent a malformed message');
  return { topic: body.toString('utf8', 2, topicEnd), payload: body.subarray(end) };
}

/** Where the properties that begin at `start` end; Infinity when their length is malformed. */
function propertiesEnd(body: Buffer, start: number): number {
  let sizeBytes = 0;
  for (let at = start, factor = 1; factor <= 128 ** 3; factor *= 128) {
    const byte = body[at++] ?? 0x80;
    sizeBytes += (byte & 0x7f) * factor;
    if ((byte & 0x80) === 0) return at + sizeBytes;
  }
  return Infinity;
}
