import { describe, expect, it } from 'vitest';
import { AnswerReader, encodeRequest, textMaxBytes } from '../../qemu/channel-framing.ts';
import { QmpLines } from '../../qemu/qmp.ts';

describe('a request to the agent on a board', () => {
  it('has the lengths of text and data before them', () => {
    const data = Buffer.from([0, 10, 255]);
    const bytes = encodeRequest({ verb: 'put', option: '0755', text: '/tmp/ä', data });
    expect(bytes).toEqual(Buffer.concat([Buffer.from('put 0755 7 3\n/tmp/ä'), data]));
  });

  it('without data has a length of zero', () => {
    expect(encodeRequest({ verb: 'run', option: '60', text: 'a\nb' }).toString()).toBe('run 60 3 0\na\nb');
  });

  it.each([
    ['a NUL', { text: 'a\0b', option: '1' }, 'NUL'],
    ['too long a script', { text: 'x'.repeat(textMaxBytes + 1), option: '1' }, 'copy a script in instead'],
    ['an option that is not a number', { text: 'x', option: '1 2' }, 'is not a number'],
  ])('with %s is refused', (_what, change, message) => {
    expect(() => encodeRequest({ verb: 'run', ...change })).toThrow(message);
  });
});

describe('the answers of an agent', () => {
  const first = Buffer.from('3 2 1\nab\n');
  const second = Buffer.from('0 0 0\n');
  const third = Buffer.concat([Buffer.from('255 3 0\n'), Buffer.from([0, 10, 255])]);
  const all = Buffer.concat([first, second, third]);
  const expected = [
    { status: 3, stdout: Buffer.from('ab'), stderr: Buffer.from('\n') },
    { status: 0, stdout: Buffer.alloc(0), stderr: Buffer.alloc(0) },
    { status: 255, stdout: Buffer.from([0, 10, 255]), stderr: Buffer.alloc(0) },
  ];

  it.each([1, 2, 3, 5, 8, 100])('are the same in pieces of %i bytes', (size) => {
    const reader = new AnswerReader();
    const answers = [];
    for (let at = 0; at < all.length; at += size) answers.push(...reader.push(all.subarray(at, at + size)));
    expect(answers).toEqual(expected);
  });

  it.each(['hello\n', '0 0\n', '-1 0 0\n', 'x'.repeat(65)])('are not read from noise such as %j', (noise) => {
    expect(() => new AnswerReader().push(Buffer.from(noise))).toThrow('not an answer');
  });
});

describe("QEMU's control stream", () => {
  it('is read message by message, however it is split', () => {
    const lines = new QmpLines();
    expect(lines.push('{"QMP":{}}\r\n{"ret')).toEqual([{ QMP: {} }]);
    expect(lines.push('urn":1,"id":7}\r\n\r\n{"event":"STOP"}\n')).toEqual([
      { return: 1, id: 7 },
      { event: 'STOP' },
    ]);
    expect(lines.push('')).toEqual([]);
  });

  it('throws for a line that is not JSON', () => {
    expect(() => new QmpLines().push('hello\n')).toThrow(SyntaxError);
  });
});
