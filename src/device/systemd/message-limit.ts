import { Transform } from 'node:stream';

/** Length of the fixed part of a message, including the length of the header's fields. */
const fixedBytes = 16;

/**
 * Passes D-Bus messages through unchanged. It fails at the head of one that is not of protocol
 * version 1 or is longer than `maxBytes`, because the codec after it trusts the lengths that it
 * reads.
 */
export function limitMessages(maxBytes: number): Transform {
  let head = Buffer.alloc(0);
  let remaining = 0;
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      let at = 0;
      while (at < chunk.length) {
        if (remaining > 0) {
          const taken = Math.min(remaining, chunk.length - at);
          remaining -= taken;
          at += taken;
          continue;
        }
        const taken = Math.min(fixedBytes - head.length, chunk.length - at);
        head = Buffer.concat([head, chunk.subarray(at, at + taken)]);
        at += taken;
        if (head.length < fixedBytes) break;
        remaining = bytesAfter(head);
        if (!(remaining + fixedBytes <= maxBytes)) {
          done(new Error(`a D-Bus message is malformed or longer than ${maxBytes} bytes`));
          return;
        }
        head = Buffer.alloc(0);
      }
      done(null, chunk);
    },
  });
}

/**
 * Bytes that follow the fixed part: the padded fields and the body (D-Bus specification, "Message
 * Format"); NaN if it is not a message.
 */
function bytesAfter(head: Buffer): number {
  const little = head[0] === 0x6c;
  if ((!little && head[0] !== 0x42) || head[3] !== 1) return NaN;
  const read = (at: number) => (little ? head.readUInt32LE(at) : head.readUInt32BE(at));
  return Math.ceil(read(12) / 8) * 8 + read(4);
}
