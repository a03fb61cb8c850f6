/**
 * The fields of an ELF header that decide where the file runs (System V ABI, gABI 4.1, "ELF Header"
 * and "Program Header").
 */
export interface ElfHeader {
  /** Bits of an address. */
  readonly class: 32 | 64;
  readonly endianness: 'little' | 'big';
  /** `e_machine`, for example 40 for ARM, 183 for AArch64. */
  readonly machine: number;
  /** Its loader (`PT_INTERP`); absent for a static program, or when it is past the given bytes. */
  readonly interpreter?: string;
}

/** So many bytes of a file suffice: linkers write headers and interpreter into its first page. */
export const elfHeadBytes = 16 * 1024;

const magic = Buffer.from([0x7f, 0x45, 0x4c, 0x46]);
const EI_CLASS = 4;
const EI_DATA = 5;
const EI_VERSION = 6;
const PT_INTERP = 3;
/** The types that a kernel runs: ET_EXEC, and ET_DYN for position-independent programs. */
const runnableTypes = [2, 3];
const maxProgramHeaders = 128;
const maxInterpreterBytes = 4096; // PATH_MAX

/** Whether the bytes claim to be ELF at all. */
export function hasElfMagic(bytes: Uint8Array): boolean {
  return magic.equals(bytes.subarray(0, magic.length));
}

/**
 * Reads the header of an ELF program strictly: no input can make it read outside `bytes`, loop or
 * throw.
 * @param bytes - the first `elfHeadBytes` of the file, or all when it is shorter
 * @returns undefined when a kernel would not run it: no ELF header, cut off, an object file,
 *   inconsistent
 */
export function readElfHeader(bytes: Uint8Array): ElfHeader | undefined {
  if (!hasElfMagic(bytes) || bytes[EI_VERSION] !== 1) return undefined;
  const elfClass = ({ 1: 32, 2: 64 } as const)[bytes[EI_CLASS] ?? 0];
  const endianness = ({ 1: 'little', 2: 'big' } as const)[bytes[EI_DATA] ?? 0];
  if (elfClass === undefined || endianness === undefined) return undefined;
  const wide = elfClass === 64;
  if (bytes.length < (wide ? 64 : 52)) return undefined;
  const fields = fieldsOf(bytes, endianness === 'little', wide);
  const count = fields.half(wide ? 56 : 44);
  const sizeBytes = wide ? 56 : 32;
  const at = fields.address(wide ? 32 : 28);
  if (!runnableTypes.includes(fields.half(16)) || fields.half(wide ? 54 : 42) !== sizeBytes) return undefined;
  if (count === 0 || count > maxProgramHeaders) return undefined;
  const header = { class: elfClass, endianness, machine: fields.half(18) };
  for (let i = 0; i < count; i++) {
    const entry = at + i * sizeBytes;
    if (entry + sizeBytes > bytes.length) return header; // past the given bytes
    if (fields.word(entry) !== PT_INTERP) continue;
    const start = fields.address(entry + (wide ? 8 : 4));
    const length = fields.address(entry + (wide ? 32 : 16));
    if (length < 2 || length > maxInterpreterBytes) return undefined;
    if (start + length > bytes.length) return header;
    const name = Buffer.from(bytes.subarray(start, start + length));
    if (name.indexOf(0) !== length - 1) return undefined;
    return { ...header, interpreter: name.toString('utf8', 0, length - 1) };
  }
  return header;
}

function fieldsOf(bytes: Uint8Array, little: boolean, wide: boolean) {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const word = (at: number) => view.getUint32(at, little);
  return {
    half: (at: number) => view.getUint16(at, little),
    word,
    /** An offset or size. Past 2^53 it loses precision and is still past the end of any file. */
    address: (at: number) => (wide ? Number(view.getBigUint64(at, little)) : word(at)),
  };
}

/**
 * `e_machine`, class and byte order → `arch` labels of the machines that it is for (platform.ts).
 * An ARM header does not distinguish version 6 from version 7.
 */
const architectures: readonly {
  readonly machine: number;
  readonly class: 32 | 64;
  readonly endianness: 'little' | 'big';
  readonly name: string;
  readonly labels: readonly string[];
}[] = [
  { machine: 3, class: 32, endianness: 'little', name: '32-bit x86', labels: ['i386'] },
  { machine: 62, class: 64, endianness: 'little', name: '64-bit x86', labels: ['amd64'] },
  { machine: 40, class: 32, endianness: 'little', name: '32-bit ARM', labels: ['armv6l', 'armv7l'] },
  { machine: 40, class: 32, endianness: 'big', name: '32-bit big-endian ARM', labels: ['armv7b'] },
  { machine: 183, class: 64, endianness: 'little', name: '64-bit ARM', labels: ['aarch64'] },
  { machine: 183, class: 64, endianness: 'big', name: '64-bit big-endian ARM', labels: ['aarch64_be'] },
  { machine: 21, class: 64, endianness: 'big', name: '64-bit big-endian POWER', labels: ['ppc64'] },
  { machine: 21, class: 64, endianness: 'little', name: '64-bit POWER', labels: ['ppc64le'] },
  { machine: 22, class: 64, endianness: 'big', name: 'IBM Z', labels: ['s390x'] },
];

/** The machine of a program: in words, and as `arch` labels. There may be no label for it. */
export function elfTarget(header: ElfHeader): { readonly name: string; readonly labels: readonly string[] } {
  const known = architectures.find(
    ({ machine, class: elfClass, endianness }) =>
      machine === header.machine && elfClass === header.class && endianness === header.endianness,
  );
  if (known !== undefined) return known;
  const order = header.endianness === 'big' ? ' big-endian' : '';
  return { name: `${header.class}-bit${order} machine ${header.machine}`, labels: [] };
}
