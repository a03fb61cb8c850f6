import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { PacketGate } from '../../../src/wire/mqtt/packet-gate.ts';

/** An MQTT packet with a body of `length` bytes that begins with `head`. */
function packet(first: number, head: Buffer, length = head.length): Buffer {
  const sizes: number[] = [];
  for (let rest = length; ; rest = Math.floor(rest / 128)) {
    sizes.push(rest >= 128 ? (rest % 128) | 0x80 : rest);
    if (rest < 128) break;
  }
  return Buffer.concat([Buffer.from([first, ...sizes]), head, Buffer.alloc(length - head.length, 0x61)]);
}

/** The body of a QoS 1 PUBLISH on `topic` with packet identifier 0x1234. */
function message(topic: string): Buffer {
  return Buffer.concat([Buffer.from([0, topic.length]), Buffer.from(topic), Buffer.from([0x12, 0x34])]);
}

function gate(maxBytes = 1000) {
  const passed: Buffer[] = [];
  const replies: Buffer[] = [];
  const dropped: string[] = [];
  const subject = new PacketGate(maxBytes, {
    pass: (bytes) => passed.push(Buffer.from(bytes)),
    reply: (bytes) => replies.push(bytes),
    dropped: (topic, refusal) => dropped.push(`${topic}: ${refusal.code}`),
  });
  return {
    push: (bytes: Buffer) => subject.push(bytes),
    passed: () => Buffer.concat(passed),
    replies,
    dropped,
  };
}

describe('the packet gate', () => {
  it('drops and acknowledges an oversize message, and passes on the others unchanged', () => {
    const before = packet(0x20, Buffer.from([0, 0]));
    const after = packet(0x32, message('t/a'), 900);
    const subject = gate();
    subject.push(Buffer.concat([before, packet(0x32, message('t/desired'), 1_000_000), after]));
    expect(subject.passed()).toEqual(Buffer.concat([before, after]));
    expect(subject.replies).toEqual([Buffer.from([0x40, 2, 0x12, 0x34])]);
    expect(subject.dropped).toEqual(['t/desired: envelope-too-large']);
  });

  it('does not acknowledge an oversize message of QoS 0', () => {
    const subject = gate();
    subject.push(packet(0x30, message('t/desired'), 1001));
    expect(subject.replies).toEqual([]);
    expect(subject.dropped).toHaveLength(1);
  });

  it('does the same however the stream is split into chunks', () => {
    const size = fc.integer({ min: 10, max: 3000 });
    fc.assert(
      fc.property(fc.array(size, { maxLength: 8 }), fc.integer({ min: 1, max: 700 }), (sizes, chunk) => {
        const packets = sizes.map((length) => packet(0x32, message('t/a'), length));
        const stream = Buffer.concat(packets);
        const subject = gate();
        for (let at = 0; at < stream.length; at += chunk) subject.push(stream.subarray(at, at + chunk));
        expect(subject.passed()).toEqual(
          Buffer.concat(packets.filter((_, index) => (sizes[index] ?? 0) <= 1000)),
        );
        expect(subject.dropped).toHaveLength(sizes.filter((length) => length > 1000).length);
      }),
    );
  });

  it('delivers messages of QoS 0 itself, however the stream is split into chunks', () => {
    const kind = fc.constantFrom(0x30, 0x31, 0x32);
    const packets = fc.array(fc.tuple(kind, fc.integer({ min: 10, max: 1500 })), { maxLength: 8 });
    fc.assert(
      fc.property(packets, fc.integer({ min: 1, max: 700 }), (described, chunk) => {
        const delivered: Buffer[] = [];
        const passed: Buffer[] = [];
        const subject = new PacketGate(1000, {
          pass: (bytes) => passed.push(Buffer.from(bytes)),
          reply: () => undefined,
          dropped: () => undefined,
          unanswered: (body) => delivered.push(Buffer.from(body)),
        });
        const stream = Buffer.concat(
          described.map(([first, length]) => packet(first, message('t/a'), length)),
        );
        for (let at = 0; at < stream.length; at += chunk) subject.push(stream.subarray(at, at + chunk));
        const small = described.filter(([, length]) => length <= 1000);
        expect(delivered.map(({ length }) => length)).toEqual(
          small.filter(([first]) => first !== 0x32).map(([, length]) => length),
        );
        expect(delivered.every((body) => body.subarray(0, 5).equals(message('t/a').subarray(0, 5)))).toBe(
          true,
        );
        expect(Buffer.concat(passed)).toEqual(
          Buffer.concat(
            small
              .filter(([first]) => first === 0x32)
              .map(([first, length]) => packet(first, message('t/a'), length)),
          ),
        );
      }),
    );
  });

  it.each<[string, Buffer, RegExp]>([
    ['an oversize packet that is no message', packet(0x20, Buffer.alloc(2), 1001), /packet of 1001 bytes/],
    ['a length of five bytes', Buffer.from([0x30, 0xff, 0xff, 0xff, 0xff]), /malformed length/],
    ['a message with QoS 2', packet(0x34, message('t/a')), /QoS 2, which was not requested/],
    ['a message with QoS 3', packet(0x36, message('t/a')), /QoS 3, which MQTT does not have/],
  ])('ends the connection on %s', (_name, bytes, error) => {
    expect(() => gate().push(bytes)).toThrow(error);
  });
});
