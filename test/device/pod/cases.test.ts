/**
 * Each file of cases/ is a pod manifest that begins with its assertions: `## assert-… `, and `##
 * host-…` for properties of the host. Apps without an image or an app get the ones below.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { parsePodManifest } from '../../../src/image/appc/pod-manifest.ts';
import { compilePod } from '../../../src/device/pod/compile.ts';
import type { CompiledPod, HostFacts } from '../../../src/device/pod/compiled-pod.ts';
import type { LabelVerdict } from '../../../src/device/pod/labels.ts';
import { isRefusal, Refusal } from '../../../src/core/refusal/refusal.ts';
import { readUnit, readWords } from '../../support/unit-reader.ts';
import { boardHost, boardNetwork, demoImage, demoUuid, imageId } from './demo.ts';

interface Case {
  readonly host: HostFacts;
  readonly secrets: ReadonlyMap<string, string>;
  readonly manifest: Record<string, unknown>;
  readonly metadataUrl?: string;
  readonly diskless?: ReadonlySet<string>;
  readonly assertions: readonly string[];
}

function readCase(path: string): Case {
  const lines = readFileSync(path, 'utf8').split('\n');
  const notes = lines.filter((line) => line.startsWith('## ')).map((line) => line.slice(3));
  const manifest = JSON.parse(lines.filter((line) => !line.startsWith('##')).join('\n')) as {
    apps: Record<string, unknown>[];
  };
  const apps = manifest.apps.map((app) => ({
    image: { id: imageId },
    ...app,
    app: { exec: ['/bin/app'], user: '0', group: '0', ...(app['app'] as object | undefined) },
  }));
  let host = boardHost;
  const secrets = new Map<string, string>();
  const verdicts = new Map<string, LabelVerdict>();
  let metadataUrl: string | undefined;
  let diskless: ReadonlySet<string> | undefined;
  for (const note of notes) {
    const [name = '', ...words] = note.split(' ');
    if (name === 'host-secret') secrets.set(words[0] ?? '', words[1] ?? '');
    if (name === 'host-controllers') host = { ...host, controllers: words };
    if (name === 'host-limits')
      host = { ...host, limits: words[0] === 'require' ? 'require' : 'best-effort' };
    if (name === 'host-machine') host = { ...host, machine: words[0] ?? '' };
    if (name === 'host-calls') host = { ...host, systemCalls: new Set(words) };
    if (name === 'host-label') {
      verdicts.set(words[0] ?? '', words[1] as LabelVerdict);
      host = { ...host, judgeLabel: (_kind, label) => verdicts.get(label) ?? 'unknown' };
    }
    if (name === 'host-network-without-host')
      host = { ...host, network: { ...boardNetwork, allowHost: false } };
    if (name === 'host-network-default')
      host = { ...host, network: { ...boardNetwork, whenUnsaid: words[0] ?? '' } };
    if (name === 'host-plugins') host = { ...host, network: { ...boardNetwork, plugins: new Set(words) } };
    if (name === 'host-subnet6') {
      const [subnet6 = '', ipv6] = words;
      host = { ...host, network: { ...boardNetwork, subnet6, ipv6: ipv6 !== 'without-ipv6' } };
    }
    if (name === 'host-diskless') diskless = new Set(words);
    if (name === 'host-metadata') metadataUrl = words[0];
    if (name === 'host-list') {
      const [list = '', ...text] = words;
      host = { ...host, network: { ...boardNetwork, lists: new Map([[list, text.join(' ')]]) } };
    }
    if (name === 'host-without-holder') {
      const { holderPath: _, ...without } = host;
      host = without;
    }
  }
  return {
    host,
    secrets,
    ...(metadataUrl === undefined ? {} : { metadataUrl }),
    ...(diskless === undefined ? {} : { diskless }),
    manifest: { acVersion: '0.8.11', acKind: 'PodManifest', ...manifest, apps },
    assertions: notes.filter((note) => note.startsWith('assert-')),
  };
}

function compile({ host, manifest, metadataUrl, diskless, secrets }: Case): CompiledPod | Refusal {
  try {
    return compilePod({
      ...(metadataUrl === undefined ? {} : { metadataUrl }),
      ...(diskless === undefined ? {} : { diskless }),
      name: 'demo-one',
      uuid: demoUuid,
      manifest: parsePodManifest(Buffer.from(JSON.stringify(manifest))),
      images: new Map([[imageId, demoImage]]),
      host,
      secrets,
    });
  } catch (error) {
    if (isRefusal(error)) return error;
    throw error;
  }
}

const unitOf = (pod: CompiledPod, app: string) =>
  readUnit(
    pod.units.find(({ name }) => name === pod.services.find((service) => service.app === app)?.unit)?.text ??
      '',
  );

const holderOf = (pod: CompiledPod) =>
  readUnit(pod.units.find(({ name }) => name.startsWith('wherry-holder-'))?.text ?? '');

const networkUnitOf = (pod: CompiledPod) =>
  readUnit(pod.units.find(({ name }) => name.startsWith('wherry-network-'))?.text ?? '');

const probeUnitOf = (pod: CompiledPod) =>
  readUnit(pod.units.find(({ name }) => name.startsWith('wherry-probe-'))?.text ?? '');

const deliveryOf = (pod: CompiledPod, app: string) => {
  const unit = pod.services.find((service) => service.app === app)?.delivery;
  return readUnit(pod.units.find(({ name }) => name === unit)?.text ?? '');
};

const timerOf = (pod: CompiledPod) => readUnit(pod.units.find(({ name }) => name === pod.timer)?.text ?? '');

const fileOf = (pod: CompiledPod, path: string) => pod.files.find((file) => file.path === path)?.content;

const lines = (directives: ReturnType<typeof readUnit>) =>
  directives.map(({ key, value }) => `${key}=${value}`);

const configOf = (pod: CompiledPod, bundle: string) => {
  const path = bundle === 'holder' ? 'holder/config.json' : `apps/${bundle}/config.json`;
  return JSON.parse(pod.files.find((file) => file.path === path)?.content ?? 'null') as {
    mounts: { destination: string; source: string; options: string[] }[];
    linux: { namespaces: { type: string; path?: string }[] };
  };
};

const member = (value: unknown, path: string): unknown =>
  path
    .split('.')
    .reduce<unknown>((inner, key) => (inner as Record<string, unknown> | undefined)?.[key], value);

/** Name of an assertion → what it checks. */
const checks: Record<string, (pod: CompiledPod, ...words: string[]) => void> = {
  'assert-service': (pod, app = '', ...words) =>
    expect(lines(app === 'holder' ? holderOf(pod) : unitOf(pod, app))).toContain(words.join(' ')),
  'assert-word': (pod, app = '', key = '', word = '') =>
    expect(
      unitOf(pod, app)
        .find((directive) => directive.key === key)
        ?.value.split(' '),
    ).toContain(word),
  'assert-no-word': (pod, app = '', key = '', word = '') =>
    expect(
      unitOf(pod, app)
        .find((directive) => directive.key === key)
        ?.value.split(' '),
    ).not.toContain(word),
  'assert-no-text': (pod, app = '', ...words) =>
    expect(lines(unitOf(pod, app)).join('\n')).not.toContain(words.join(' ')),
  'assert-no-directive': (pod, app = '', key = '') =>
    expect(unitOf(pod, app).map((directive) => directive.key)).not.toContain(key),
  'assert-no-holder-directive': (pod, key = '') =>
    expect(holderOf(pod).map((directive) => directive.key)).not.toContain(key),
  'assert-timer': (pod, ...words) => expect(lines(timerOf(pod))).toContain(words.join(' ')),
  'assert-timer-name': (pod, name) => expect(pod.timer).toBe(name),
  /** The timer starts a run whose name has the same suffix. */
  'assert-timer-matches': (pod, pattern = '') => {
    expect(pod.timer).toMatch(new RegExp(pattern));
    const run = pod.timer?.replace('wherry-timer-', 'wherry-run-').replace(/timer$/, 'target') ?? '';
    expect(lines(timerOf(pod))).toContain(`Unit=${run}`);
    expect(pod.mounts).toContain(run);
  },
  'assert-calendar': (pod, ...words) => expect(pod.calendar).toEqual(words.join(' ').split('|')),
  'assert-slice': (pod, ...words) =>
    expect(lines(readUnit(pod.units.find(({ name }) => name === pod.slice)?.text ?? ''))).toContain(
      words.join(' '),
    ),
  'assert-exec': (pod, app = '', what = '', layer = '') => {
    const key = what === 'post-stop' ? 'ExecStopPost' : 'ExecStart';
    const value =
      unitOf(pod, app)
        .find((directive) => directive.key === key)
        ?.value.replace(/^-/, '') ?? '';
    const all = readWords(value, true);
    // The layer of an app with a post-stop handler is mounted on the host.
    const isOwn = !lines(unitOf(pod, app)).some((line) => /^ExecStopPost=.*start-app/.test(line));
    const own = isOwn ? ['/usr/bin/unshare', '--mount', '--propagation', 'slave'] : [];
    expect(all.slice(0, own.length)).toEqual(own);
    const words = all.slice(own.length);
    expect(words.slice(0, 3)).toEqual(['/bin/sh', `/var/lib/wherry/pods/${demoUuid}/start-app`, what]);
    if (layer !== '') expect(words[5]).toBe(layer);
  },
  /** The script that creates the process of an app reports it to systemd, and then starts it. */
  'assert-reported': (pod, app = '') => {
    const text = lines(unitOf(pod, app));
    expect(text).toEqual(expect.arrayContaining(['Type=notify', 'NotifyAccess=exec']));
    expect(text.join('\n')).not.toContain('ExecStartPost');
  },
  /** systemd follows the created holder and then runs the script that releases it. */
  'assert-release-holder': (pod, link) => {
    const unit = holderOf(pod);
    const [create, release] = ['ExecStart', 'ExecStartPost'].map((key) =>
      readWords(unit.find((directive) => directive.key === key)?.value ?? '', true),
    );
    expect(create?.at(-1)).toBe(demoUuid);
    expect(release).toEqual([
      ...['/bin/sh', `/var/lib/wherry/pods/${demoUuid}/release-app`],
      ...[`/run/wherry/apps/${demoUuid}`, '/usr/bin/crun', demoUuid, link],
    ]);
    expect(lines(unit)).toEqual(expect.arrayContaining(['Type=forking', 'GuessMainPID=yes']));
  },
  'assert-unit-name': (pod, app = '', unit) =>
    expect(pod.services.find((service) => service.app === app)?.unit).toBe(unit),
  'assert-last-words': (pod, app = '', ...words) => {
    const line = unitOf(pod, app).find(({ key }) => key === 'ExecStart')?.value ?? '';
    expect(readWords(line, true).slice(-words.length)).toEqual(words);
  },
  'assert-delivery': (pod, app = '', unit) =>
    expect(String(pod.services.find((service) => service.app === app)?.delivery)).toBe(unit),
  'assert-delivery-unit': (pod, app = '', ...words) =>
    expect(lines(deliveryOf(pod, app))).toContain(words.join(' ')),
  'assert-delivery-exec': (pod, app = '', ...words) => {
    const line = deliveryOf(pod, app).find(({ key }) => key === 'ExecStart')?.value ?? '';
    const unit = pod.services.find((service) => service.app === app)?.unit;
    expect(readWords(line, true)).toEqual([
      ...['/bin/sh', `/var/lib/wherry/pods/${demoUuid}/deliver-secrets`],
      ...[`/run/wherry/secrets/${demoUuid}/${app}`, unit, ...words],
    ]);
    expect(fileOf(pod, 'deliver-secrets')).toMatch(/^#!/);
  },
  'assert-config': (pod, bundle = '', path = '', ...json) => {
    const expected = json.join(' ');
    expect(member(configOf(pod, bundle), path)).toEqual(
      expected === 'undefined' ? undefined : JSON.parse(expected),
    );
  },
  /** Calls that the app's filter allows, and with a leading `!` those that it does not name. */
  'assert-calls': (pod, app = '', ...calls) => {
    const rules = member(configOf(pod, app), 'linux.seccomp.syscalls') as { names: string[] }[];
    const named = new Set(rules.flatMap(({ names }) => names));
    expect(calls.filter((call) => named.has(call.replace('!', '')) === call.startsWith('!'))).toEqual([]);
  },
  'assert-mount': (pod, app = '', destination, source) =>
    expect(configOf(pod, app).mounts).toContainEqual(expect.objectContaining({ destination, source })),
  'assert-mount-options': (pod, app = '', destination, ...options) =>
    expect(configOf(pod, app).mounts).toContainEqual(expect.objectContaining({ destination, options })),
  'assert-namespaces': (pod, app = '', ...words) =>
    expect(
      configOf(pod, app).linux.namespaces.map(({ type, path }) =>
        path === undefined ? type : `${type}=${path}`,
      ),
    ).toEqual(words),
  'assert-isolator': (pod, app = '', name, outcome) =>
    expect(pod.isolators).toContainEqual(
      expect.objectContaining({ app: app === 'pod' ? '' : app, name, outcome }),
    ),
  'assert-isolator-detail': (pod, app, name, ...words) =>
    expect(pod.isolators.find((one) => one.app === app && one.name === name)?.detail).toContain(
      words.join(' '),
    ),
  'assert-directory': (pod, path = '', mode = '', owner = '') => {
    const [uid, gid] = owner.split(':').map(Number);
    expect(pod.directories).toContainEqual({ path, mode: parseInt(mode, 8), uid, gid });
  },
  'assert-kept': (pod, path = '', mode = '', owner = '') => {
    const [uid, gid] = owner.split(':').map(Number);
    expect(pod.keptVolumes).toEqual([{ path, mode: parseInt(mode, 8), uid, gid }]);
  },
  'assert-limited': (pod, name, limit = '', mode = '', owner = '', file) => {
    const [uid, gid] = owner.split(':').map(Number);
    const volume = { name, limitBytes: BigInt(limit), mode: parseInt(mode, 8), uid, gid, file };
    expect(pod.limitedVolumes).toEqual([expect.objectContaining(volume)]);
  },
  /** A mount unit that the pod needs, and that wherryd writes with it. */
  'assert-mount-unit': (pod, name = '', ...words) => {
    expect(pod.mounts).toContain(name);
    expect(lines(readUnit(pod.units.find((unit) => unit.name === name)?.text ?? ''))).toContain(
      words.join(' '),
    );
  },
  'assert-no-mount': (pod, app = '', destination) =>
    expect(configOf(pod, app).mounts.map((mount) => mount.destination)).not.toContain(destination),
  'assert-port': (pod, protocol, port = '', hostIp) =>
    expect(pod.ports.ports).toContainEqual(
      expect.objectContaining({ protocol, first: Number(port), last: Number(port), hostIp }),
    ),
  'assert-network-unit': (pod, ...words) => expect(lines(networkUnitOf(pod))).toContain(words.join(' ')),
  'assert-network-exec': (pod, act = '', network, hostname, bridge) => {
    const key = act === 'up' ? 'ExecStart' : 'ExecStopPost';
    const line = networkUnitOf(pod).find((directive) => directive.key === key)?.value ?? '';
    expect(readWords(line.replace(/^-/, ''), true)).toEqual([
      ...['/bin/sh', `/var/lib/wherry/pods/${demoUuid}/attach-network`, act, '/run/wherry'],
      ...[`/var/lib/wherry/pods/${demoUuid}/network`, demoUuid, '/run/netns/wherry-demo-one.0123abcd'],
      ...[network, hostname, bridge],
    ]);
  },
  'assert-socket-unit': (pod, name = '', ...words) => {
    expect(pod.mounts).toContain(name);
    expect(lines(readUnit(pod.units.find((unit) => unit.name === name)?.text ?? ''))).toContain(
      words.join(' '),
    );
  },
  'assert-file': (pod, path = '', ...words) =>
    expect(fileOf(pod, path)).toBe(words.join(' ').replaceAll('\\n', '\n')),
  'assert-line': (pod, path = '', ...words) =>
    expect(fileOf(pod, path)?.split('\n')).toContain(words.join(' ')),
  'assert-plugin': (pod, file = '', path = '', ...json) => {
    const text = fileOf(pod, `network/${file}`);
    const expected = json.join(' ');
    expect(member(JSON.parse(text ?? 'null'), path)).toEqual(
      expected === 'undefined' ? undefined : JSON.parse(expected),
    );
    // The unit's program puts a key in front of it.
    expect(text).toMatch(/^\{"[^\n]+\}\n$/);
  },
  'assert-start-order': (pod, ...apps) => expect(pod.services.map(({ app }) => app)).toEqual(apps),
  'assert-once': (pod, app = '', seconds = '') =>
    expect(String(pod.services.find((service) => service.app === app)?.onceSeconds)).toBe(seconds),
  'assert-probe': (pod, app = '', ...json) => {
    const expected = json.join(' ');
    expect(pod.services.find((service) => service.app === app)?.probe).toEqual(
      expected === 'undefined' ? undefined : JSON.parse(expected),
    );
  },
  'assert-probe-unit': (pod, ...words) => expect(lines(probeUnitOf(pod))).toContain(words.join(' ')),
  'assert-probe-exec': (pod, app = '') => {
    const words = probeUnitOf(pod).find(({ key }) => key === 'ExecStart')?.value ?? '';
    const home = `/var/lib/wherry/pods/${demoUuid}`;
    expect(readWords(words, true)).toEqual([
      ...['/bin/sh', `${home}/probe-app`, `/run/wherry/apps/${demoUuid}-${app}`, '/usr/bin/crun'],
      ...[`${demoUuid}-${app}`, `${home}/apps/${app}.probe/process.json`],
    ]);
    expect(fileOf(pod, 'probe-app')).toMatch(/^#!/);
  },
  'assert-process': (pod, app = '', path = '', ...json) =>
    expect(member(JSON.parse(fileOf(pod, `apps/${app}.probe/process.json`) ?? 'null'), path)).toEqual(
      JSON.parse(json.join(' ')),
    ),
  'assert-source': (pod, app = '', path = '') =>
    expect(pod.sources).toContainEqual(expect.objectContaining({ app, path })),
};

const directory = join(import.meta.dirname, 'cases');

describe('a pod manifest', () => {
  for (const file of readdirSync(directory)) {
    const input = readCase(join(directory, file));
    const pod = compile(input);
    it(`${file} has assertions`, () => expect(input.assertions).not.toEqual([]));
    it.each(input.assertions)(`${file}: %s`, (assertion) => {
      const [name = '', ...words] = assertion.split(' ');
      if (name === 'assert-refused') {
        const [code, ...message] = words;
        expect(pod).toMatchObject({ code, message: expect.stringContaining(message.join(' ')) as string });
        return;
      }
      if (pod instanceof Refusal) throw pod;
      const check = checks[name];
      if (check === undefined) throw new Error(`no such assertion: ${name}`);
      check(pod, ...words);
    });
  }
});
