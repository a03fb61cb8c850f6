import { readdir, readFile } from 'node:fs/promises';
import path from 'node:path';
import { gzipSync } from 'node:zlib';

import type { DebianPackage, PackageEntry } from './deb.ts';
import type { SqliteLibrary } from './sqlite-library.ts';
import type { Target } from './targets.ts';

export interface TreeInput {
  /** The project's root, an absolute path. */
  readonly root: string;
  readonly version: string;
  readonly target: Target;
  /** Name → bytes of the files of the JavaScript bundle. */
  readonly programs: ReadonlyMap<string, Uint8Array>;
  /** Directory with the addons of this architecture. */
  readonly addons: string;
  readonly copyright: string;
}

/** Files copied as they are: source below the project's root → path in the package. */
const copied: Readonly<Record<string, string>> = {
  'src/device/agent/wherryd.service': 'usr/lib/systemd/system/wherryd.service',
  'src/device/jobs/examine/wherry-examine.service': 'usr/lib/systemd/system/wherry-examine.service',
  'src/device/local-api/wherry-api.service': 'usr/lib/systemd/system/wherry-api.service',
  'src/device/local-api/wherry-api.socket': 'usr/lib/systemd/system/wherry-api.socket',
  'src/device/local-api/wherry-exec@.service': 'usr/lib/systemd/system/wherry-exec@.service',
  'src/device/pod/wherry-clock.service': 'usr/lib/systemd/system/wherry-clock.service',
  'src/device/pod/wherry-clock.timer': 'usr/lib/systemd/system/wherry-clock.timer',
  'src/device/agent/wherry-floor.service': 'usr/lib/systemd/system/wherry-floor.service',
  'src/device/metadata/wherry-metadata.service': 'usr/lib/systemd/system/wherry-metadata.service',
  'src/device/metadata/wherry-metadata.socket': 'usr/lib/systemd/system/wherry-metadata.socket',
  'src/device/metadata/wherry-metadata-proxy@.service':
    'usr/lib/systemd/system/wherry-metadata-proxy@.service',
  'src/device/jobs/pull/wherry-pull@.service': 'usr/lib/systemd/system/wherry-pull@.service',
  'src/device/jobs/render/wherry-render@.service': 'usr/lib/systemd/system/wherry-render@.service',
  'src/device/jobs/seal/wherry-seal.service': 'usr/lib/systemd/system/wherry-seal.service',
  'src/device/jobs/volume/wherry-volume.service': 'usr/lib/systemd/system/wherry-volume.service',
  'src/device/jobs/unit/wherry-snapshot.path': 'usr/lib/systemd/system/wherry-snapshot.path',
  'src/device/jobs/unit/wherry-snapshot.service': 'usr/lib/systemd/system/wherry-snapshot.service',
  'cross/debian/sysusers.conf': 'usr/lib/sysusers.d/wherry.conf',
  'cross/debian/tmpfiles.conf': 'usr/lib/tmpfiles.d/wherry.conf',
  'cross/debian/wherry.toml': 'usr/share/doc/wherry/examples/wherry.toml',
};

/** The same, only in the package of ARMv8. */
const copiedForArm64: typeof copied = {
  'src/device/host/wherry-arm32.service': 'usr/lib/systemd/system/wherry-arm32.service',
};

/** Files compressed on the way. */
const compressed: Readonly<Record<string, string>> = {
  'docs/man/wherry.1': 'usr/share/man/man1/wherry.1.gz',
  'docs/man/wherryd.8': 'usr/share/man/man8/wherryd.8.gz',
  'docs/man/wherry.toml.5': 'usr/share/man/man5/wherry.toml.5.gz',
};

export const operatorName = 'wherry-operator';

const scripts = ['postinst', 'prerm', 'postrm', 'triggers'];

const programScripts = ['attach-network', 'make-volume', 'run-in-app', 'seal-secrets', 'snapshot'];

/** cross/README.md has the reasons. */
const depends = ['nodejs (>= 20.19~)', 'crun', 'erofs-utils (>= 1.8)', 'systemd (>= 254)', 'libsystemd0'];

const maintainer = 'wherry developers <wherry@localhost>';

/** The whole package of one architecture as values; nothing is written. */
export async function packageTree(input: TreeInput): Promise<DebianPackage> {
  const read = (file: string) => readFile(path.join(input.root, file));
  const entries: PackageEntry[] = [
    { type: 'directory', path: 'etc/wherry', mode: 0o755 },
    { type: 'directory', path: 'etc/wherry/trust', mode: 0o755 },
    file(
      'usr/lib/wherry/package.json',
      `${JSON.stringify({ name: 'wherry', version: input.version, type: 'commonjs' })}\n`,
    ),
    file(
      'usr/bin/wherry',
      '#!/bin/sh\nexec /usr/bin/node --disable-warning=ExperimentalWarning /usr/lib/wherry/wherry.js "$@"\n',
      0o755,
    ),
    file('usr/share/doc/wherry/copyright', input.copyright),
  ];
  for (const name of programScripts) {
    const source = await read(`cross/debian/${name}`);
    entries.push(file(`usr/lib/wherry/${name}`, withoutComments(source.toString()), 0o755));
  }
  for (const [name, bytes] of input.programs) entries.push(file(`usr/lib/wherry/${name}`, bytes));
  for (const name of (await readdir(input.addons)).sort()) {
    entries.push(file(`usr/lib/wherry/addons/${name}`, await readFile(path.join(input.addons, name))));
  }
  const files = { ...copied, ...(input.target.arch === 'arm64' ? copiedForArm64 : {}) };
  for (const [from, to] of Object.entries(files)) entries.push(file(to, await read(from)));
  for (const [from, to] of Object.entries(compressed)) {
    // zlib writes neither a name nor a time into the header.
    entries.push(file(to, gzipSync(await read(from), { level: 9 })));
  }
  return {
    control: {
      Package: 'wherry',
      Version: input.version,
      Architecture: input.target.arch,
      Maintainer: maintainer,
      Depends: depends.join(', '),
      // The first process of pods with several apps; what undoes compressions that Node 20 does not
      // know; what seals objects; volumes with a limit; pod networks, of 60 MB and not needed by a
      // device whose pods use its own.
      Recommends:
        'catatonit, bzip2, xz-utils, zstd, fsverity, e2fsprogs, containernetworking-plugins, iptables',
      // Suggested only: apt would install a recommended package on every device.
      Suggests: operatorName,
      Section: 'admin',
      Priority: 'optional',
      Description: [
        'lean container supervisor for devices',
        ' wherry runs pods of signed App Container Images as systemd units, as a signed',
        ' desired state commands that it receives over MQTT, reports their health, and',
        ' returns to the previous version by itself when a new one does not stay healthy.',
        ' .',
        ' The commands for those who build images and command devices are in the package',
        ' wherry-operator.',
      ].join('\n'),
    },
    scripts: Object.fromEntries(
      await Promise.all(
        scripts.map(async (name) => [name, (await read(`cross/debian/${name}`)).toString()] as const),
      ),
    ),
    entries,
  };
}

/** The package with the operator's part; only the library of SQLite differs by architecture. */
export async function operatorTree(
  input: Omit<TreeInput, 'addons'> & { readonly sqlite: SqliteLibrary },
): Promise<DebianPackage> {
  const documentation = `usr/share/doc/${operatorName}`;
  const zipped = async (from: string) => gzipSync(await readFile(path.join(input.root, from)), { level: 9 });
  return {
    control: {
      Package: operatorName,
      Version: input.version,
      Architecture: input.target.arch,
      Maintainer: maintainer,
      // It has the command itself and OpenPGP. Chunks of different versions do not fit. The library
      // of SQLite needs libgcc.
      Depends: `wherry (= ${input.version}), libgcc-s1`,
      // For keys in GnuPG, and for certificates of devices.
      Suggests: 'gnupg, openssl',
      Section: 'admin',
      Priority: 'optional',
      Description: [
        'commands of wherry for operators of devices',
        ' With this package the command wherry also builds, converts and signs images, makes',
        ' keys, fleets and roots of trust, deploys to devices, one by one or by rollouts,',
        ' and shows what they do. A device does not need it.',
      ].join('\n'),
    },
    scripts: {},
    entries: [
      ...[...input.programs].map(([name, bytes]) => file(`usr/lib/wherry/${name}`, bytes)),
      // Node finds it here by the name that the driver requires.
      file(`usr/lib/wherry/node_modules/${input.sqlite.npmPackage}/index.node`, input.sqlite.bytes),
      file(`${documentation}/copyright`, input.copyright + libraryNotice),
      file(`${documentation}/changelog.gz`, await zipped('CHANGELOG.md')),
      file(`usr/share/man/man1/${operatorName}.1.gz`, await zipped(`docs/man/${operatorName}.1`)),
    ],
  };
}

/** What the copyright file of operators adds about the library, which is in no bundle. */
const libraryNotice = `
The library below /usr/lib/wherry/node_modules is that of the npm package whose name its directory has, unchanged. Its
licence is that of libsql, above. It contains SQLite, which is in the public domain, and libraries in Rust, which
Cargo.lock in the source of libsql names (https://github.com/tursodatabase/libsql-js).
`;

/** A shell script without the lines that are comments, which a device need not store. */
export function withoutComments(script: string): string {
  return script.replace(/^[ \t]*# .*\n/gm, '');
}

function file(where: string, content: Uint8Array | string, mode: 0o644 | 0o755 = 0o644): PackageEntry {
  return { type: 'file', path: where, mode, content };
}
