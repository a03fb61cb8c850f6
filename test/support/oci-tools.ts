import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pax, type RawEntry, tar } from './raw-tar.ts';

/** Runs a third-party program. */
export function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/**
 * An OCI layout `<directory>/layout`, tag `app`, for ARMv7, that umoci made: two layers, the second
 * of which removes a file, replaces a directory's content and adds a link.
 */
export function umociLayout(directory: string): string {
  const layout = join(directory, 'layout');
  const image = `${layout}:app`;
  run('umoci', 'init', '--layout', layout);
  run('umoci', 'new', '--image', image);
  const bundle = join(directory, 'bundle');
  const isRoot = process.getuid?.() === 0;
  run('umoci', 'unpack', ...(isRoot ? [] : ['--rootless']), '--image', image, bundle);
  const root = join(bundle, 'rootfs');
  for (const name of ['etc', 'bin', 'srv/old']) mkdirSync(join(root, name), { recursive: true });
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0::/:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n');
  writeFileSync(join(root, 'bin/app'), '#!/bin/sh\n');
  chmodSync(join(root, 'bin/app'), 0o755);
  writeFileSync(join(root, 'srv/removed'), 'removed\n');
  writeFileSync(join(root, 'srv/old/file'), 'old\n');
  run('umoci', 'repack', '--refresh-bundle', '--image', image, bundle);
  run('rm', '-r', join(root, 'srv/removed'), join(root, 'srv/old'));
  mkdirSync(join(root, 'srv/old'));
  writeFileSync(join(root, 'srv/old/new'), 'new\n');
  symlinkSync('old/new', join(root, 'srv/link'));
  run('ln', join(root, 'bin/app'), join(root, 'bin/same'));
  run('umoci', 'repack', '--image', image, bundle);
  const settings = {
    '--architecture': 'arm',
    '--os': 'linux',
    '--created': '2026-01-02T03:04:05Z',
    '--author': 'someone',
    '--config.user': 'web',
    '--config.workingdir': '/srv/made',
    '--config.entrypoint': '/bin/app',
    '--config.cmd': 'serve',
    '--config.env': 'MODE=test',
    '--config.exposedports': '8080/tcp',
    '--config.volume': '/srv/data',
    '--config.label': 'Some.Label=x y',
    '--config.stopsignal': 'SIGQUIT',
  };
  run('umoci', 'config', '--image', image, ...Object.entries(settings).flat());
  return layout;
}

/**
 * An OCI layout `<directory>/shared` that umoci made: `base` of two layers, and `one` and `two`
 * over it. The second layer omits the parent directories of its entries. `one` removes a file,
 * makes a directory opaque, changes a mode, names a file of the base again and writes through a
 * link of the base; `two` only adds.
 */
export function sharedLayout(directory: string): string {
  const layout = join(directory, 'shared');
  run('umoci', 'init', '--layout', layout);
  run('umoci', 'new', '--image', `${layout}:base`);
  const add = (tag: string, ...entries: readonly RawEntry[]) => {
    const path = join(directory, 'layer.tar');
    writeFileSync(path, tar(...entries));
    run('umoci', 'raw', 'add-layer', '--image', `${layout}:${tag}`, path);
  };
  add(
    'base',
    { ...folder('./'), mode: 0o750 },
    { ...folder('etc/'), mode: 0o711, uid: 3 },
    { name: 'etc/passwd', body: 'root:x:0:0::/:/bin/sh\nweb:x:33:44::/srv:/bin/sh\n' },
    { name: 'etc/group', body: 'web:x:44:\nvideo:x:27:web\n' },
    folder('bin/'),
    { name: 'bin/app', body: 'program\n', mode: 0o755 },
    { name: 'bin/same', type: '1', linkname: 'bin/app' },
    folder('usr/'),
    { ...folder('usr/lib/'), mode: 0o2775, uid: 7 },
    { name: 'lib', type: '2', linkname: 'usr/lib', mode: 0o777 },
    { name: 'srv/removed', body: 'removed\n' },
    { name: 'srv/old/file', body: 'old\n' },
    { name: 'srv/old/below/file', body: 'old\n' },
    { name: 'run/pipe', type: '6' },
  );
  add('base', pax({ 'SCHILY.xattr.user.note': 'kept' }), { name: 'usr/lib/noted', body: 'noted\n', uid: 7 });
  run('umoci', 'config', '--image', `${layout}:base`, '--architecture', 'arm64', '--os', 'linux');
  for (const tag of ['one', 'two']) run('umoci', 'tag', '--image', `${layout}:base`, tag);
  add(
    'one',
    { name: 'srv/.wh.removed' },
    { name: 'srv/old/.wh..wh..opq' },
    { name: 'srv/old/new', body: 'new\n' },
    { name: 'bin/third', type: '1', linkname: 'bin/same' },
    { name: 'lib/through', body: 'through the link\n' },
    { ...folder('etc/'), mode: 0o755 },
  );
  add('one', { name: 'srv/.wh.nothing' });
  add('one', { name: 'srv/last', body: 'last\n', mode: 0o4711 });
  add('two', { name: 'srv/two', body: 'two\n' });
  for (const tag of ['one', 'two']) {
    const settings = [
      '--config.user',
      'web',
      '--config.cmd',
      '/bin/app',
      '--config.workingdir',
      `/srv/${tag}-work`,
    ];
    run('umoci', 'config', '--image', `${layout}:${tag}`, ...settings);
  }
  return layout;
}

const folder = (name: string): RawEntry => ({ name, type: '5', mode: 0o755 });
