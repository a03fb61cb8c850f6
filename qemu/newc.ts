/** What a member of an initramfs can be. Permissions are the usual low twelve bits. */
export type CpioEntry =
  | { readonly path: string; readonly kind: 'directory'; readonly mode: number }
  | { readonly path: string; readonly kind: 'file'; readonly mode: number; readonly content: Uint8Array }
  | { readonly path: string; readonly kind: 'symlink'; readonly target: string };

const typeBits = { directory: 0o040000, file: 0o100000, symlink: 0o120000 } as const;

/**
 * Writes an archive in the "newc" form, which Linux unpacks as its initramfs
 * (Documentation/driver-api/early-userspace/buffer-format.rst). All entries belong to root and
 * have no time, so equal input gives equal bytes. Directories must precede their contents.
 */
export function newcArchive(entries: readonly CpioEntry[]): Buffer {
  const parts = entries.map((entry, index) => record(entry, index + 1));
  parts.push(trailer());
  return Buffer.concat(parts);
}

function record(entry: CpioEntry, inode: number): Buffer {
  const permissions = entry.kind === 'symlink' ? 0o777 : entry.mode;
  const data =
    entry.kind === 'file'
      ? Buffer.from(entry.content)
      : Buffer.from(entry.kind === 'symlink' ? entry.target : '');
  return encode(
    entry.path,
    inode,
    typeBits[entry.kind] | permissions,
    entry.kind === 'directory' ? 2 : 1,
    data,
  );
}

function trailer(): Buffer {
  return encode('TRAILER!!!', 0, 0, 1, Buffer.alloc(0));
}

function encode(path: string, inode: number, mode: number, links: number, data: Buffer): Buffer {
  const name = Buffer.from(`${path}\0`);
  // ino, mode, uid, gid, nlink, mtime, filesize, devmajor, devminor, rdevmajor, rdevminor,
  // namesize, check
  const fields = [inode, mode, 0, 0, links, 0, data.length, 0, 0, 0, 0, name.length, 0];
  const header = `070701${fields.map((field) => field.toString(16).padStart(8, '0')).join('')}`;
  return Buffer.concat([padded(Buffer.concat([Buffer.from(header), name])), padded(data)]);
}

/** Header with name, and data, each end on a multiple of four. */
function padded(bytes: Buffer): Buffer {
  const rest = bytes.length % 4;
  return rest === 0 ? bytes : Buffer.concat([bytes, Buffer.alloc(4 - rest)]);
}
