import { execFile } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { buildProgram } from '../../src/cli/program.ts';
import { formatBytes, formatTable, formatUse } from '../../src/cli/format.ts';
import { renderStatus } from '../../src/cli/commands/operator/status.ts';
import { logCommand } from '../../src/cli/commands/device/logs.ts';
import { catches } from '../../src/device/local-api/index.ts';
import { LiveLines } from '../../src/cli/terminal.ts';
import { sampleReport } from '../support/sample-messages.ts';
import { recordingTerminal, wherry } from '../support/recording-terminal.ts';

const root = join(import.meta.dirname, '../..');

/** Runs the program as users do, in its own process. */
async function spawned(args: string[], environment: Record<string, string> = {}) {
  return await new Promise<{ status: number; out: string; err: string }>((resolve) => {
    const options = { cwd: root, env: { ...process.env, ...environment } };
    execFile(
      process.execPath,
      ['--import', 'tsx', 'src/cli/wherry.ts', ...args],
      options,
      (error, out, err) => {
        resolve({ status: typeof error?.code === 'number' ? error.code : 0, out, err });
      },
    );
  });
}

function allCommands(): string[][] {
  const program = buildProgram(recordingTerminal().terminal, () => {
    throw new Error('help needs no context');
  });
  const walk = (command: typeof program, path: string[]): string[][] =>
    command.commands.flatMap((child) => [[...path, child.name()], ...walk(child, [...path, child.name()])]);
  return walk(program, []);
}

describe('a directory instead of a file is refused and named', () => {
  const directory = join(import.meta.dirname, '../support');
  it.each([
    ...['inspect', 'validate', 'cat-manifest'].map((verb) => ['image', verb, directory]),
    ...['patch', 'render', 'to-oci'].map((verb) => ['image', verb, directory, '-o', '/nowhere/x']),
    ['image', 'build', root, '--manifest', directory, '-o', '/nowhere/x'],
    ['image', 'verify', join(root, 'package.json'), '--key', directory],
    ['trust', 'add', directory, '--root', '--yes', '--directory', '/nowhere'],
  ])('%s %s', async (...words) => {
    const { status, err } = await wherry(['--fleet', '/nowhere', ...words]);
    expect(status).toBe(64);
    expect(err).toMatch(new RegExp(`${directory}.* is a directory.*\\(input-invalid\\)`));
  });
});

// The kernel answers EIO for its first bytes, as for a file on a card that is failing.
it.each([
  ['image', 'inspect', '/proc/self/mem'],
  ['image', 'validate', '/proc/self/mem'],
  ['image', 'patch', '/proc/self/mem', '-o', '/nowhere/x'],
  ['image', 'to-oci', '/proc/self/mem', '-o', join(tmpdir(), 'wherry-unread')],
  [
    'image',
    'from-oci',
    '/proc/self/mem',
    '--name',
    'example.com/a',
    '-o',
    join(tmpdir(), 'wherry-unread.aci'),
  ],
  ['image', 'render', '/proc/self/mem', '-o', join(tmpdir(), 'wherry-unread.aci')],
])('a file that the disk cannot read is named: %s %s', async (...words) => {
  const { status, err } = await wherry(words);
  expect(status).toBe(70);
  expect(err).toBe('wherry: /proc/self/mem: the disk reports an error (disk-failed)\n');
});

describe('the program wherry', () => {
  it('is a process that answers --help on stdout with status 0', async () => {
    const { status, out, err } = await spawned(['--help']);
    expect({ status, err }).toEqual({ status: 0, err: '' });
    expect(out).toContain('Exit status:');
  });

  it('exits with status 64 and one sentence for an unknown argument', async () => {
    const { status, out, err } = await spawned(['status', '--colour']);
    expect({ status, out }).toEqual({ status: 64, out: '' });
    expect(err).toBe('wherry: unknown option \'--colour\'; see "wherry status --help" (usage)\n');
  });

  it('prints errors as JSON with --json', async () => {
    const { status, out } = await spawned(['status', '--json'], { WHERRY_FLEET: '/nonexistent' });
    expect(status).toBe(64);
    expect(JSON.parse(out)).toMatchObject({ error: { code: 'not-found' } });
  });

  it.each(
    allCommands().filter(
      (path) =>
        !['fleet', 'fleet key', 'key', 'keys', 'lock', 'image', 'trust', 'trust root', 'rollout'].includes(
          path.join(' '),
        ),
    ),
  )('has examples in the help of %s %s', async (...path) => {
    const { status, out } = await wherry([...path.filter((name) => typeof name === 'string'), '--help']);
    expect(status).toBe(0);
    expect(out).toContain('Examples:');
    expect(out).toContain(`wherry`);
  });

  it.each([
    [[]],
    [['image']],
    [['sing']],
    [['deploy']],
    [['status', '--fleet']],
    [['rollback', 'a', '--to', '0']],
  ])('refuses %j with status 64', async (args) => {
    const { status, err } = await wherry(args);
    expect(status).toBe(64);
    expect(err).toMatch(/^wherry: [^\n]* \(usage\)\n$/);
  });

  it('describes every command in the man page of its package', async () => {
    const page = async (name: string) => await readFile(join(root, 'docs/man', name), 'utf8');
    const [device, operator] = [await page('wherry.1'), await page('wherry-operator.1')];
    const without = (text: string) => (path: string) => !text.includes(`.It Cm ${path}`);
    const { operators, others } = leavesByPackage();
    expect(operators.filter(without(operator))).toEqual([]);
    expect(others.filter(without(device))).toEqual([]);
    expect(operators.filter((path) => !without(device)(path))).toEqual([]);
  });
});

/** The commands without subcommands, by their heading in the help. */
function leavesByPackage(): { operators: string[]; others: string[] } {
  const program = buildProgram(recordingTerminal().terminal, () => {
    throw new Error('help needs no context');
  });
  const walk = (command: typeof program, path: string): { path: string; heading: string }[] =>
    command.commands.flatMap((child) =>
      child.commands.length > 0
        ? walk(child, `${path}${child.name()} `)
        : [{ path: `${path}${child.name()}`, heading: child.helpGroup() }],
    );
  const leaves = walk(program, '');
  const isOperators = ({ heading }: { heading: string }) => heading.startsWith('For an operator');
  return {
    operators: leaves.filter(isOperators).map(({ path }) => path),
    others: leaves.filter((leaf) => !isOperators(leaf)).map(({ path }) => path),
  };
}

describe('numbers for people', () => {
  it.each([
    [0, '0 B'],
    [1023, '1023 B'],
    [1536, '1.5 KiB'],
    [64 * 2 ** 20, '64.0 MiB'],
    [3 * 2 ** 40, '3.0 TiB'],
  ])('%i bytes are %s', (bytes, text) => {
    expect(formatBytes(bytes)).toBe(text);
  });

  it('show use against a limit', () => {
    expect(formatUse(2 ** 20, 4 * 2 ** 20)).toBe('1.0 MiB of 4.0 MiB (25 %)');
    expect(formatUse(2 ** 20, undefined)).toBe('1.0 MiB');
    expect(formatUse(undefined, undefined)).toBe('-');
  });
});

describe('tables', () => {
  it('line up with and without colours', () => {
    const rows = [
      [{ text: 'a', colour: 'red' }, 'b'],
      ['long', 'c'],
    ] as const;
    expect(formatTable({ hasColour: false }, ['X', 'Y'], rows)).toBe('X     Y\na     b\nlong  c');
    const coloured = formatTable({ hasColour: true }, ['X', 'Y'], rows);
    expect(coloured).toContain('\u001b[31ma   \u001b[0m');
  });
});

describe('the status of a device in words', () => {
  it('names refusals, networks, unenforced limits, and missing capabilities', () => {
    const report = sampleReport({
      deployment: { version: 4, phase: 'rolled-back', code: 'probation-failed', message: 'web died twice' },
      refused: { code: 'unsigned', message: 'no signature', at: 0 },
      pods: [
        {
          name: 'web',
          uuid: 'u',
          healthy: false,
          apps: [],
          isolators: [
            { app: 'nginx', name: 'resource/cpu', outcome: 'ignored', detail: 'no cpu controller' },
            { app: 'nginx', name: 'resource/memory', outcome: 'enforced', detail: 'MemoryMax=64M' },
          ],
          network: { name: 'bridge', addresses: ['10.173.0.2'] },
        },
      ],
      capabilities: [
        { name: 'erofs', available: false, detail: 'modprobe erofs' },
        { name: 'arch-aarch64', available: true, detail: '' },
        { name: 'arch-armv7l', available: false, detail: 'not this CPU' },
        { name: 'arch-armv6l', available: false, detail: 'not this CPU' },
      ],
      damaged: [{ imageId: 'i', name: 'example.com/web', message: 'the stored object is missing' }],
    });
    const text = renderStatus({ hasColour: false }, [
      { device: 'crane-7', report, events: [], eventCount: 0 },
    ]);
    expect(text.split('\n').slice(3)).toEqual([
      'crane-7: version 4 rolled-back (probation-failed): web died twice',
      'crane-7: refused a message at 1970-01-01T00:00:00.000Z (unsigned): no signature',
      'crane-7: web is in the network bridge: 10.173.0.2',
      'crane-7: web/nginx: resource/cpu is ignored: no cpu controller',
      'crane-7: image-corrupt: the stored object is missing',
      'crane-7: lacks erofs: modprobe erofs',
      'crane-7: lacks arch-armv7l, arch-armv6l: not this CPU',
    ]);
  });
});

describe('progress', () => {
  it('is redrawn on a terminal, one line for each [C324]', () => {
    const { terminal, err } = recordingTerminal({ isLive: true });
    const lines = new LiveLines(terminal);
    lines.update('a', 'a 1 %', 'x');
    lines.update('b', 'b 1 %', 'x');
    lines.update('a', 'a 2 %', 'x');
    const line = (text: string) => `\r\u001b[2K\u001b[?7l${text}\u001b[?7h\n`;
    const up = (lines: number) => `\u001b[${lines}A`;
    expect(err()).toBe(
      [line('a 1 %'), up(1), line('a 1 %'), line('b 1 %'), up(2), line('a 2 %'), line('b 1 %')].join(''),
    );
  });

  it('is one line per milestone elsewhere', () => {
    const { terminal, err } = recordingTerminal();
    const lines = new LiveLines(terminal);
    lines.update('a', 'a 1 %', 'fetch 0');
    lines.update('a', 'a 2 %', 'fetch 0');
    lines.update('a', 'a 11 %', 'fetch 1');
    expect(err()).toBe('a 1 %\na 11 %\n');
  });
});

describe('wherry logs', () => {
  it('reads the journal of the pod and the app', () => {
    expect(logCommand('web', 'nginx', { follow: true, lines: 5, since: 'today' })).toEqual([
      'journalctl',
      '--no-pager',
      '--output=short-iso',
      '--follow',
      '--lines=5',
      '--since=today',
      '_TRANSPORT=stdout',
      'WHERRY_POD=web',
      'WHERRY_APP=nginx',
    ]);
  });

  it('quotes every word for the shell of another machine', () => {
    const command = logCommand('web', undefined, { ssh: 'root@crane-7', since: `1' ; reboot #` });
    expect(command.slice(0, 3)).toEqual(['ssh', '--', 'root@crane-7']);
    expect(command[3]).toContain(`'--since=1'\\'' ; reboot #'`);
  });

  it.each([
    ['web;reboot', undefined, {}],
    ['web', '$(id)', {}],
    ['web', undefined, { ssh: '-oProxyCommand=id' }],
  ])('refuses %s %s %j', (pod, app, flags) => {
    expect(() => logCommand(pod, app, flags)).toThrow(/is not the name|--ssh takes a host/);
  });
});

describe('wherry gc', () => {
  it('signals only a wherryd that handles the signal', () => {
    expect(catches('SigIgn:\t0000000000001000\nSigCgt:\t0000000000000800\n', 12)).toBe(true);
    expect(catches('SigCgt:\t0000000000000400\n', 12)).toBe(false);
    expect(catches('', 12)).toBe(false);
  });
});

describe('a wrong command line [C323]', () => {
  it.each([
    ['image build root --nmae x', `unknown option '--nmae' (Did you mean --name?)`, 'image build'],
    ['image build root', '-o, --output <file> is missing', 'image build'],
    ['image build -o x.aci', '<source> is missing', 'image build'],
    ['lock add x --reson y', `unknown option '--reson' (Did you mean --reason?)`, 'lock add'],
    ['sim abc', '"abc" is not valid for <count>: it takes a whole number from 1', 'sim'],
    ['sim', '<count> is missing', 'sim'],
    ['sim 3 4', 'it takes 1 arguments, not 2', 'sim'],
    ['sim 3 --for', '--for <time> lacks its value', 'sim'],
    [
      'sim 3 --for abc',
      '"abc" is not valid for --for <time>: it takes a time such as 90s, 15m, 2h or 1d',
      'sim',
    ],
    [
      'fleet status --link x',
      '"x" is not valid for --link <state>: it takes one of up, down, unknown',
      'fleet status',
    ],
    ['fleet help', `unknown command 'help'`, 'fleet'],
  ])('%s', async (line, problem, command) => {
    const { status, err } = await wherry(line.split(' '));
    expect({ status, err }).toEqual({
      status: 64,
      err: `wherry: ${problem}; see "wherry ${command} --help" (usage)\n`,
    });
  });

  it('cannot control the terminal', async () => {
    const { err } = await wherry(['sim', '\u001b[31m\u009b2J\u202e']);
    expect(err).toContain(String.raw`"\u{1b}[31m\u{9b}2J\u{202e}"`);
  });
});

it('has one style of help in every command', async () => {
  for (const path of [[], ...allCommands()]) {
    const { out } = await wherry([...path, '--help']);
    expect(out, path.join(' ')).toContain('show this help');
    expect(out, path.join(' ')).not.toMatch(/display help|output the version|^Commands:/m);
  }
});
