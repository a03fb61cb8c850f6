import { execFileSync } from 'node:child_process';
import {
  chmodSync,
  copyFileSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { BoardConfig } from './board-config.ts';
import { cached, contentKey, fileParts } from '../cross/index.ts';

/** Whose programs to take. */
type PayloadBoard = Pick<BoardConfig, 'arch' | 'suite'>;

/**
 * A root file system to build an image from: a program of Debian and exactly the libraries that it
 * needs.
 */
interface Payload {
  readonly packages: readonly string[];
  /**
   * Programs to take, as absolute paths in the package's file system; each brings its libraries.
   */
  readonly programs: readonly string[];
  /**
   * Directories to take as they are; the last part of a path may be a pattern, which may find
   * nothing. Shared objects in them bring their libraries.
   */
  readonly trees?: readonly string[];
  readonly directories: readonly string[];
  readonly files: Readonly<Record<string, string>>;
  readonly links: Readonly<Record<string, string>>;
}

const nginxConf = `# Runs in the foreground as an ordinary user; everything it writes lies in memory.
daemon off;
worker_processes 1;
pid /tmp/nginx.pid;
error_log stderr notice;
events { worker_connections 64; }
http {
  access_log off;
  default_type text/html;
  client_body_temp_path /tmp/body;
  proxy_temp_path /tmp/proxy;
  fastcgi_temp_path /tmp/fastcgi;
  uwsgi_temp_path /tmp/uwsgi;
  scgi_temp_path /tmp/scgi;
  server {
    listen 8080;
    root /srv/www;
  }
}
`;

const accounts = {
  'etc/passwd': 'root:x:0:0:root:/root:/bin/sh\nwww-data:x:33:33:www-data:/srv/www:/bin/sh\n',
  'etc/group': 'root:x:0:\nwww-data:x:33:\n',
};

const payloads = {
  nginx: {
    packages: ['nginx'],
    programs: ['/usr/sbin/nginx'],
    directories: ['tmp', 'srv/www', 'proc', 'sys', 'dev', 'run', 'var/log/nginx', 'var/lib/nginx'],
    files: { ...accounts, 'etc/nginx/nginx.conf': nginxConf },
    links: {},
  },
  busybox: {
    packages: ['busybox'],
    programs: ['/usr/bin/busybox'],
    directories: ['tmp', 'proc', 'sys', 'dev', 'run', 'root'],
    files: accounts,
    links: Object.fromEntries(
      [
        'sh',
        'cat',
        'echo',
        'sleep',
        'id',
        'env',
        'dd',
        'head',
        'tail',
        'ls',
        'mount',
        'ps',
        'httpd',
        'true',
        'false',
        'touch',
        'test',
        'kill',
        'hostname',
        'yes',
        'nc',
        'tr',
        'wc',
        'seq',
      ].map((applet) => [`usr/bin/${applet}`, 'busybox']),
    ),
  },
  python: {
    packages: ['python3'],
    programs: ['/usr/bin/python3'],
    trees: ['/usr/lib/python3.*'],
    directories: ['tmp', 'proc', 'sys', 'dev', 'run', 'srv'],
    files: { ...accounts, 'srv/index.html': 'served by Python\n' },
    links: {},
  },
  node: {
    packages: ['nodejs'],
    programs: ['/usr/bin/node'],
    // Debian's Node reads these files instead of including them.
    trees: ['acorn*', 'cjs-module-lexer*', 'minimatch*', 'undici*'].map(
      (name) => `/usr/share/nodejs/${name}`,
    ),
    directories: ['tmp', 'proc', 'sys', 'dev', 'run', 'srv'],
    files: {
      ...accounts,
      'srv/server.js':
        "require('node:http').createServer((_, answer) => answer.end('served by Node\\n')).listen(8080);\n",
    },
    links: {},
  },
} as const satisfies Record<string, Payload>;

export type PayloadName = keyof typeof payloads;

/**
 * The root file system of a payload for a board's architecture and suite, made once and kept.
 * Nothing foreign is run: packages are unpacked, and a program's libraries are found by reading its
 * ELF headers.
 *
 * @returns the directory that becomes an image's rootfs
 */
export async function payloadRoot(name: PayloadName, board: PayloadBoard): Promise<string> {
  const payload: Payload = payloads[name];
  const key = contentKey([
    board.arch,
    board.suite,
    JSON.stringify(payload),
    ...fileParts([import.meta.filename]),
  ]);
  const dir = await cached(`payload-${name}-${board.arch}-${board.suite}`, key, (into) => {
    const packages = mkdtempSync(join(into, 'packages.'));
    unpack(payload.packages, board, join(packages, 'root'));
    const root = join(into, 'rootfs');
    mkdirSync(root);
    assemble(payload, join(packages, 'root'), root);
    rmSync(packages, { recursive: true, force: true });
    return Promise.resolve();
  });
  return join(dir, 'rootfs');
}

function unpack(packages: readonly string[], board: PayloadBoard, into: string): void {
  execFileSync(
    'mmdebstrap',
    [
      '--quiet',
      '--variant=extract',
      `--arch=${board.arch}`,
      ...(board.suite === 'forky' ? ['--aptopt=Acquire::Check-Valid-Until "false"'] : []),
      `--include=${packages.join(',')}`,
      board.suite,
      into,
    ],
    { stdio: ['ignore', 'ignore', 'inherit'] },
  );
}

function assemble(payload: Payload, from: string, root: string): void {
  for (const link of ['bin', 'lib', 'sbin']) symlinkSync(`usr/${link}`, join(root, link));
  for (const directory of [...payload.directories, 'usr/bin', 'usr/lib', 'usr/sbin']) {
    mkdirSync(join(root, directory), { recursive: true });
  }
  chmodSync(join(root, 'tmp'), 0o1777);
  for (const program of payload.programs) copyWithLibraries(program, from, root);
  for (const tree of payload.trees ?? []) copyTree(tree, from, root);
  // The loader of x86-64 programs.
  if (existsSync(join(root, 'usr/lib64'))) symlinkSync('usr/lib64', join(root, 'lib64'));
  for (const [path, content] of Object.entries(payload.files)) {
    mkdirSync(dirname(join(root, path)), { recursive: true });
    writeFileSync(join(root, path), content);
  }
  for (const [path, target] of Object.entries(payload.links)) symlinkSync(target, join(root, path));
}

function copyTree(tree: string, from: string, root: string): void {
  const name = new RegExp(`^${basename(tree).replace('*', '[^/]*')}$`);
  const above = dirname(tree);
  const found = readdirSync(join(from, above)).filter((entry) => name.test(entry));
  if (found.length === 0 && !tree.includes('*')) throw new Error(`there is no ${tree} in the packages`);
  for (const entry of found) {
    const path = join(above, entry);
    mkdirSync(join(root, above), { recursive: true });
    cpSync(join(from, path), join(root, path), { recursive: true, verbatimSymlinks: true });
    for (const file of readdirSync(join(from, path), { recursive: true, encoding: 'utf8' })) {
      if (file.endsWith('.so')) copyWithLibraries(join(path, file), from, root);
    }
  }
}

/**
 * Copies a program and, found through their ELF headers, everything that the loader will open for
 * it.
 */
function copyWithLibraries(program: string, from: string, root: string): void {
  const places = libraryPlaces(from);
  const open = [join(from, program)];
  const done = new Set<string>();
  for (let path = open.pop(); path !== undefined; path = open.pop()) {
    if (done.has(path)) continue;
    done.add(path);
    // Links such as libz.so.1 become the file itself under the name that the loader looks for.
    const target = join(root, relative(from, path).replace(/^(lib|lib64|bin|sbin)\//, 'usr/$1/'));
    mkdirSync(dirname(target), { recursive: true });
    copyFileSync(realpathInside(path, from), target);
    chmodSync(target, 0o755);
    for (const needed of neededBy(path)) {
      // A loader is named by its whole path; packages have /lib and /lib64 under /usr.
      const found = needed.startsWith('/')
        ? join(from, needed.replace(/^\/(lib|lib64)\//, '/usr/$1/'))
        : places.map((place) => join(place, needed)).find((candidate) => existsSync(candidate));
      if (found === undefined) throw new Error(`${basename(path)} needs ${needed}, which no package brings`);
      open.push(found);
    }
  }
}

/** Names of the libraries and the path of the loader that an ELF file requires. */
function neededBy(path: string): string[] {
  const text = execFileSync('readelf', ['-W', '-d', '-l', path], { encoding: 'utf8' });
  const libraries = [...text.matchAll(/\(NEEDED\)\s+Shared library: \[([^\]]+)\]/g)].map(
    (match) => match[1] ?? '',
  );
  const loader = /Requesting program interpreter: ([^\]]+)\]/.exec(text)?.[1];
  return loader === undefined ? libraries : [...libraries, loader];
}

function libraryPlaces(from: string): string[] {
  const lib = join(from, 'usr/lib');
  const triplets = readdirSync(lib).filter((name) => name.includes('-linux-gnu'));
  return [...triplets.map((triplet) => join(lib, triplet)), lib];
}

function realpathInside(path: string, from: string): string {
  const real = realpathSync(path);
  if (!real.startsWith(realpathSync(from))) throw new Error(`${path} leads out of its package`);
  return real;
}
