import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { loadBoardConfig, type EmulatedConfig } from './board-config.ts';
import { cached, contentKey, fileParts } from '../cross/index.ts';
import { checkDiskSpace, checkPrograms } from './preconditions.ts';
import { imageFiles } from './rootfs.ts';

/** Receives a line about each long step, to show to the user. */
export type Progress = (sentence: string) => void;

/** A board's disk, kernel and initramfs as they come from Debian's packages; read-only. */
export type BoardImage = {
  readonly config: EmulatedConfig;
  readonly key: string;
  readonly disk: string;
  readonly kernel: string;
  readonly initrd: string;
  readonly dtb: string | undefined;
};

/** The sources that determine the content of an image. Images are rebuilt when one changes. */
const sources = [
  'rootfs.ts',
  'root-tree.ts',
  'guest-files.ts',
  'initramfs.ts',
  'kernel-modules.ts',
  'newc.ts',
];

/**
 * Returns a board's image, from the cache or new.
 *
 * @throws PreconditionError, in one sentence, if a program or disk space is missing
 */
export async function boardImage(name: string, progress: Progress): Promise<BoardImage> {
  const { config, packages } = loadBoardConfig(name);
  if (config.kind !== 'emulated') throw new TypeError(`${name} has no image: it is not emulated.`);
  const declared = { ...config, memoryMiB: 0, smp: 0, description: '' };
  const key = contentKey([
    JSON.stringify(declared),
    packages.join(' '),
    ...fileParts(sources.map((file) => join(import.meta.dirname, file))),
  ]);
  const dir = await cached(`image-${name}`, key, async (buildDir) => {
    const asRoot = process.getuid?.() === 0;
    checkPrograms(['mmdebstrap', 'dpkg-deb', 'mkfs.ext4', 'depmod', 'xz', ...(asRoot ? [] : ['fakeroot'])]);
    checkDiskSpace(buildDir);
    progress(`making the image of ${name} from Debian packages (once, about a minute)`);
    const command = [
      process.execPath,
      '--import',
      'tsx',
      join(import.meta.dirname, 'assemble.ts'),
      name,
      buildDir,
    ];
    const [program = '', ...args] = asRoot ? command : ['fakeroot', ...command];
    await run(program, args, `The image of ${name} could not be made`);
  });
  return {
    config,
    key,
    disk: join(dir, imageFiles.disk),
    kernel: join(dir, imageFiles.kernel),
    initrd: join(dir, imageFiles.initrd),
    dtb: config.dtb === undefined ? undefined : join(dir, imageFiles.dtb),
  };
}

/** Runs a program to its end. @throws Error with its last lines of output */
export async function run(program: string, args: readonly string[], failed: string): Promise<void> {
  try {
    const env = { ...process.env, PATH: `${process.env['PATH'] ?? ''}:/usr/sbin:/sbin` };
    await promisify(execFile)(program, args, {
      env,
      cwd: join(import.meta.dirname, '..'),
      maxBuffer: 2 ** 26,
    });
  } catch (error) {
    const said = (error as { stderr?: string }).stderr?.trim().split('\n').slice(-8).join('\n');
    throw new Error(`${failed}: ${said === undefined || said === '' ? String(error) : said}`, {
      cause: error,
    });
  }
}
