/** A generator of pseudo-random numbers (mulberry32): the same seed gives the same sequence. */
export function randomFrom(seed: number): (below: number) => number {
  let state = seed >>> 0;
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) % Math.max(below, 1);
  };
}

/** Words of the parsed formats, which changes of single bytes rarely produce. */
const tokens = [
  ...['{', '}', '[', ']', '"', ':', ',', '\\u0000', 'null', '1e999', '-0', '9007199254740993', '__proto__'],
  ...['acKind', 'imageID', 'sha512-', 'labels', 'isolators', 'resource/memory', '%2e', '../', '\n', '\0'],
  ...['ustar', 'path=', 'size=', 'GNU.sparse.', 'SCHILY.xattr.', '<meta ', 'content=', '-->', 'bytes ', '*'],
].map((text) => Buffer.from(text));
const numbers = [0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0x8000, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff];

/** `input` after one to eight changes, some of which insert pieces of `other`. */
export function mutate(
  input: Buffer,
  other: Buffer,
  random: (below: number) => number,
  maxBytes: number,
): Buffer {
  let bytes: Buffer = Buffer.from(input);
  for (let change = random(8); change >= 0; change--) bytes = changed(bytes, other, random);
  return bytes.subarray(0, maxBytes);
}

function changed(bytes: Buffer, other: Buffer, random: (below: number) => number): Buffer {
  const at = random(bytes.length + 1);
  const put = (piece: Buffer, cut: number) =>
    Buffer.concat([bytes.subarray(0, at), piece, bytes.subarray(Math.min(at + cut, bytes.length))]);
  switch (random(8)) {
    case 0: // one bit
      if (at < bytes.length) bytes[at] = (bytes[at] ?? 0) ^ (1 << random(8));
      return bytes;
    case 1: // one byte
      return put(Buffer.from([random(256)]), random(2));
    case 2: // a word of the formats
      return put(tokens[random(tokens.length)] ?? bytes, random(12));
    case 3: {
      // a boundary number, big or little endian
      const number = Buffer.alloc(4);
      const value = numbers[random(numbers.length)] ?? 0;
      if (random(2) === 0) number.writeUInt32BE(value);
      else number.writeUInt32LE(value);
      const width = 1 + random(4);
      return put(number.subarray(0, width), width);
    }
    case 4: // a piece removed
      return put(Buffer.alloc(0), 1 + random(32));
    case 5: {
      // a piece repeated
      const from = random(bytes.length + 1);
      return put(bytes.subarray(from, from + random(64)), 0);
    }
    case 6: {
      // a piece of another input
      const from = random(other.length + 1);
      const piece = other.subarray(from, from + random(128));
      return put(piece, random(2) * piece.length);
    }
    default: // cut off
      return bytes.subarray(0, at);
  }
}
