import { execFile } from 'node:child_process';
import { verityDigestForm, type Verity } from './verity.ts';

/** The program of Debian's package fsverity: Node has no ioctl(2). */
const fsverityProgram = 'fsverity';

/**
 * fs-verity by the program `fsverity` (fsverity-utils, its manual page), which makes one ioctl and
 * reports errors as strerror(3).
 *
 * @param program its name or path
 */
export function programVerity(program: string = fsverityProgram): Verity {
  return {
    lack: async (directory) => {
      // A directory is never sealed, so the kernel's answer shows only whether it supports
      // fs-verity.
      const said = await run(program, ['measure', directory]);
      if (said.kind === 'absent') return `the program ${program} is missing; install the package fsverity`;
      if (said.kind === 'done' || says(said.text, notSealed)) return undefined;
      if (says(said.text, notSupported)) {
        return 'the file system has no fs-verity: it needs ext4 with the feature verity (tune2fs -O verity), f2fs or btrfs, and CONFIG_FS_VERITY';
      }
      return said.text;
    },
    seal: async (path) => {
      const said = await run(program, ['enable', path]);
      if (said.kind === 'done' || (said.kind === 'failed' && says(said.text, sealedBefore))) return;
      throw new Error(said.kind === 'absent' ? `${program} is missing` : said.text);
    },
    measure: async (path) => {
      const said = await run(program, ['measure', path]);
      if (said.kind === 'absent') return { kind: 'unknown', why: `the program ${program} is missing` };
      if (said.kind === 'failed') {
        if (says(said.text, notSealed) || says(said.text, notSupported)) return { kind: 'open' };
        return { kind: 'unknown', why: said.text };
      }
      const [digest = ''] = said.text.split(' ');
      if (!verityDigestForm.test(digest)) return { kind: 'unknown', why: `${program} says ${said.text}` };
      return { kind: 'sealed', digest };
    },
  };
}

/**
 * The digest that a file will have once it is sealed, which the program computes from its bytes.
 * Undefined if the program fails: then there is nothing to compare the kernel's measurement with.
 */
export async function futureDigest(
  path: string,
  program: string = fsverityProgram,
): Promise<string | undefined> {
  // These are the defaults of `enable`, too; there is no salt.
  const said = await run(program, ['digest', '--hash-alg=sha256', '--block-size=4096', path]);
  const [digest = ''] = said.kind === 'done' ? said.text.split(' ') : [];
  return verityDigestForm.test(digest) ? digest : undefined;
}

type Said =
  | { readonly kind: 'done'; readonly text: string }
  | { readonly kind: 'failed'; readonly text: string }
  | { readonly kind: 'absent' };

/** strerror(3) of ENODATA. */
const notSealed = ['No data available'];
/**
 * EOPNOTSUPP: a file system or kernel that was built without fs-verity; ENOTTY: one that does not
 * know the ioctl.
 */
const notSupported = [
  'Operation not supported',
  'Inappropriate ioctl for device',
  'Function not implemented',
];
/** EEXIST. */
const sealedBefore = ['File exists'];

function says(text: string, words: readonly string[]): boolean {
  return words.some((word) => text.endsWith(word));
}

function run(program: string, args: readonly string[]): Promise<Said> {
  return new Promise((resolve) => {
    const env = { PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/usr/bin`, LC_ALL: 'C' };
    execFile(program, [...args], { env, encoding: 'utf8' }, (error, stdout, stderr) => {
      if (error === null) resolve({ kind: 'done', text: stdout.trim() });
      else if (error.code === 'ENOENT') resolve({ kind: 'absent' });
      else resolve({ kind: 'failed', text: stderr.trim() || error.message });
    });
  });
}
