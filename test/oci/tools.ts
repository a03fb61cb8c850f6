import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

/** Runs a program that we did not write. */
export function run(command: string, ...args: readonly string[]): string {
  return execFileSync(command, [...args], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'pipe'] });
}

/**
 * An OCI layout `<directory>/layout`, tag `app`, for ARMv7, that umoci made: two layers, the second of which removes a file,
 * replaces a directory's content and adds a link.
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
