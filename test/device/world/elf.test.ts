import { execFileSync } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

import fc from 'fast-check';
import { afterAll, describe, expect, it } from 'vitest';

import { elfTarget, readElfHeader } from '../../../src/device/world/elf.ts';

const directory = mkdtempSync(join(tmpdir(), 'wherry-elf-'));
afterAll(() => rmSync(directory, { recursive: true }));

/** A program built by Debian's cross compiler. */
function compiled(compiler: string, ...options: string[]): Buffer {
  const file = join(directory, 'program');
  const args = ['-x', 'c', '-', '-o', file, ...options];
  execFileSync(compiler, args, { input: 'int main(void) { return 0; }' });
  return readFileSync(file);
}

describe('the header of a program (System V ABI, ELF Header)', () => {
  it.each([
    ['arm-linux-gnueabihf-gcc', 32, 40, '/lib/ld-linux-armhf.so.3', ['armv6l', 'armv7l']],
    ['aarch64-linux-gnu-gcc', 64, 183, '/lib/ld-linux-aarch64.so.1', ['aarch64']],
    ['x86_64-linux-gnu-gcc', 64, 62, '/lib64/ld-linux-x86-64.so.2', ['amd64']],
  ])('that %s made is read', (compiler, elfClass, machine, interpreter, labels) => {
    const header = readElfHeader(compiled(compiler));
    expect(header).toEqual({ class: elfClass, machine, endianness: 'little', interpreter });
    expect(header && elfTarget(header).labels).toEqual(labels);
  });

  it('has no interpreter when the program is static (gABI, Program Interpreter)', () => {
    const header = readElfHeader(compiled('aarch64-linux-gnu-gcc', '-static'));
    expect(header).toEqual({ class: 64, machine: 183, endianness: 'little' });
  });

  it('is not recognised in an object file, which no kernel runs (e_type)', () => {
    expect(readElfHeader(compiled('arm-linux-gnueabihf-gcc', '-c'))).toBeUndefined();
  });

  it('is not recognised if it is cut off before its end', () => {
    const program = compiled('arm-linux-gnueabihf-gcc');
    for (let length = 0; length < 52; length++) {
      expect(readElfHeader(program.subarray(0, length))).toBeUndefined();
    }
    expect(readElfHeader(program.subarray(0, 52))).toEqual({ class: 32, machine: 40, endianness: 'little' });
  });
});

/**
 * A header written field by field: [offset, bytes of the number, number], little-endian 64-bit
 * AArch64 unless patched.
 */
function header(...patches: readonly (readonly [number, 1 | 2 | 4 | 8, number])[]): Buffer {
  const bytes = Buffer.alloc(256);
  const put = ([at, size, value]: readonly [number, 1 | 2 | 4 | 8, number]) => {
    if (size === 8) bytes.writeBigUInt64LE(BigInt(value), at);
    else bytes.writeUIntLE(value, at, size);
  };
  bytes.write('\x7fELF\x02\x01\x01', 0, 'latin1');
  bytes.write('/lib/ld.so\0', 200);
  const fields = [
    [16, 2, 3], // e_type: ET_DYN
    [18, 2, 183], // e_machine
    [32, 8, 64], // e_phoff
    [54, 2, 56], // e_phentsize
    [56, 2, 1], // e_phnum
    [64, 4, 3], // p_type: PT_INTERP
    [72, 8, 200], // p_offset
    [96, 8, 11], // p_filesz
  ] as const;
  for (const field of [...fields, ...patches]) put(field);
  return bytes;
}

describe('a header with false fields', () => {
  it('is read when its fields are true', () => {
    expect(readElfHeader(header())?.interpreter).toBe('/lib/ld.so');
  });

  it.each<[string, Buffer]>([
    ['has another magic', header([0, 1, 0x7e])],
    ['has no class (EI_CLASS)', header([4, 1, 3])],
    ['has no byte order (EI_DATA)', header([5, 1, 0])],
    ['has another version (EI_VERSION)', header([6, 1, 2])],
    ['is of a core dump (e_type)', header([16, 2, 4])],
    ['has program headers of another size (e_phentsize)', header([54, 2, 32])],
    ['has no program headers (e_phnum)', header([56, 2, 0])],
    ['has more program headers than a program needs (e_phnum)', header([56, 2, 0xffff])],
    ['has an empty interpreter (p_filesz)', header([96, 8, 1])],
    ['has an interpreter past PATH_MAX (p_filesz)', header([96, 8, 5000])],
    ['has an interpreter without an end', header([96, 8, 10])],
    ['has an interpreter with a NUL within', header([96, 8, 12])],
  ])('is not a program when it %s', (_what, bytes) => {
    expect(readElfHeader(bytes)).toBeUndefined();
  });

  it.each<[string, Buffer]>([
    ['program headers', header([32, 8, 2 ** 60])],
    ['an interpreter', header([72, 8, 2 ** 60])],
  ])('has no interpreter when it has %s past the bytes that are looked at', (_what, bytes) => {
    expect(readElfHeader(bytes)).toEqual({ class: 64, machine: 183, endianness: 'little' });
  });

  it('never makes the parser throw or read out of bounds, for any bytes', () => {
    const patch = fc.record({ at: fc.nat(255), bytes: fc.uint8Array({ minLength: 1, maxLength: 8 }) });
    fc.assert(
      fc.property(fc.array(patch, { maxLength: 6 }), fc.nat(256), fc.nat(64), (patches, length, shift) => {
        const bytes = header();
        for (const { at, bytes: put } of patches) bytes.set(put.subarray(0, 256 - at), at);
        // a view into other memory: its offset must count
        const within = Buffer.concat([
          Buffer.alloc(shift, 0xff),
          bytes.subarray(0, length),
          Buffer.alloc(99, 0xff),
        ]);
        const read = readElfHeader(within.subarray(shift, shift + length));
        expect(read).toEqual(readElfHeader(Buffer.from(bytes.subarray(0, length))));
        if (read) expect(elfTarget(read).name).not.toBe('');
      }),
      { numRuns: 3000 },
    );
  });
});

describe('[A8.6] the labels of a program (schema/types/labels.go: linux)', () => {
  it.each([
    [3, 32, 'little', ['i386']],
    [40, 32, 'big', ['armv7b']],
    [183, 64, 'big', ['aarch64_be']],
    [21, 64, 'big', ['ppc64']],
    [21, 64, 'little', ['ppc64le']],
    [22, 64, 'big', ['s390x']],
    [62, 32, 'little', []], // x32 has no label
    [8, 32, 'big', []], // MIPS is not in the list
  ] as const)('machine %i, %i bits, %s-endian: %j', (machine, elfClass, endianness, labels) => {
    expect(elfTarget({ machine, class: elfClass, endianness }).labels).toEqual(labels);
  });
});
