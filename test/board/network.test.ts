import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { loadBoardConfig } from '../../qemu/index.ts';
import type { DesiredState } from '../../src/wire/trust/desired-state.ts';
import type { DeviceReport } from '../../src/wire/report/report.ts';
import { oneBoard } from './board-choice.ts';
import { busybox } from './busybox-scene.ts';
import { type BuiltImage, Scene } from './scene.ts';

/** How often the test starts and stops a pod. `WHERRY_CYCLES=200` shows a small leak per start. */
const cycles = Number(process.env['WHERRY_CYCLES'] ?? 5);

/** The fields that the test reads from a queue of `tc -j -s qdisc`. */
interface Queue {
  readonly kind: string;
  readonly bytes: number;
  readonly options: { readonly rate?: number };
}

/** Pods in networks: real CNI plugins, rules of the kernel, traffic. */
describe.each(oneBoard)('the network of a pod on %s', (name) => {
  let scene: Scene;
  // On an emulated board on a busy machine a cycle took 70 s: each `wherry` starts Node.
  const cycleMs = loadBoardConfig(name).config.kind === 'native' ? 20_000 : 150_000;
  let image: BuiltImage;
  beforeAll(async () => {
    scene = await Scene.start(name, { powerLoss: true });
    image = await scene.image('busybox', [busybox, 'httpd', '-f', '-p', '80', '-h', '/srv'], {
      app: {
        ports: [
          { name: 'http', protocol: 'tcp', port: 80 },
          { name: 'talk', protocol: 'udp', port: 53 },
        ],
      },
      files: [{ path: '/srv/index.html', content: 'hello from the pod' }],
    });
  });
  afterAll(() => scene.stop());

  const pod = (podName: string, network: string | undefined, manifest: Record<string, unknown> = {}) => ({
    name: podName,
    image,
    // As process 1, busybox httpd ignores SIGTERM, so a stop would take ten seconds.
    app: { annotations: [{ name: 'wherry/stop-signal', value: 'SIGKILL' }] },
    manifest: {
      ...(network === undefined ? {} : { annotations: [{ name: 'wherry/network', value: network }] }),
      ...manifest,
    },
  });
  const twoApps = () => {
    const app = { exec: [busybox, 'sleep', '1000000'], user: '0', group: '0' };
    const { annotations } = pod('', undefined).app;
    const main = { name: 'main', image: { id: image.id, name: image.name }, annotations };
    return [main, { ...main, name: 'side', app }];
  };
  const committed = async (desired: DesiredState): Promise<DeviceReport> => {
    const answer = await scene.deploy(desired);
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
    return await scene.report((report) => report.currentVersion === desired.version);
  };
  const pidOf = (report: DeviceReport, podName: string): number =>
    report.pods.find((one) => one.name === podName)?.apps[0]?.pid ?? 0;
  /** Runs a command in all namespaces of an app, with the app's own programs. */
  const inside = async (pid: number, command: string): Promise<string> =>
    (await scene.board.check(`nsenter -a -r -w -t ${pid} ${busybox} ${command}`)).trim();

  /** Waits for the page, requested inside an app: see {@link get}. */
  const getInside = async (pid: number, url: string): Promise<string> =>
    (await scene.board.waitFor(`nsenter -a -r -w -t ${pid} ${busybox} wget -T 20 -qO- ${url}`)).stdout;
  /** Waits for the page: a started app does not necessarily listen yet. */
  const get = async (url: string): Promise<string> =>
    (await scene.board.waitFor(`curl -sS --max-time 20 ${url}`)).stdout;
  /** The answer of a server of UDP in the namespaces of an app, by a port of the host. */
  const askUdp = async (pid: number, address: string, port: number): Promise<string> => {
    const node = (script: string) => `/usr/bin/node -e "${script.replaceAll(/\s*\n\s*/g, ' ')}"`;
    const echo = node(`
      const socket = require('node:dgram').createSocket('udp6');
      socket.on('message', (data, { port, address }) => socket.send('echo ' + data, port, address));
      socket.bind(53);`);
    const ask = node(`
      const socket = require('node:dgram').createSocket('${address.includes(':') ? 'udp6' : 'udp4'}');
      socket.on('message', (answer) => { console.log(String(answer)); process.exit(); });
      setInterval(() => socket.send('hello', ${port}, '${address}'), 500);
      setTimeout(() => process.exit(1), 150000);`);
    await scene.board.check(`systemd-run --unit=echo -p NetworkNamespacePath=/proc/${pid}/ns/net ${echo}`);
    const answer = await scene.board.check(ask);
    await scene.board.check('systemctl stop echo');
    return answer;
  };
  /**
   * Everything that an attachment could leave behind. The plugin's shared chains stay, so they
   * exist before the first check.
   */
  const traces = () =>
    scene.board.check(`
      ip -o link | cut -d: -f2 | cut -d@ -f1; ls /run/netns; findmnt -rno TARGET | sort
      for tables in iptables ip6tables; do $tables-save | grep -v '^#' | sed 's/\\[.*//'; done
      cd /sys/fs/cgroup && find . -name 'wherry-pod-*' -o -name 'wherry-network-*' -o -name 'wherry-holder-*'
      find /run/wherry /var/lib/wherry /etc/systemd/system/wherry-* -maxdepth 3 ! -path '/run/wherry/leases*' ! -name '*.json*' | sort
      ls -A /run/wherry/attachments /run/wherry/names; find /run/wherry/leases /var/lib/cni -name '[0-9]*' 2>/dev/null
      systemctl list-units --state=active,activating,deactivating --plain --no-legend 'wherry-network-*' 'wherry-pod-*' 'wherry-holder-*' 'run-*.mount' |
        awk '{ print $1, $2, $3, $4 }'`);
  /**
   * The traces of an idle board: units that systemd stops later, such as the holder, have ended.
   */
  const restingTraces = async (): Promise<string> => {
    await scene.board.waitFor('systemctl list-jobs --no-legend', ({ stdout }) => stdout.trim() === '');
    return await traces();
  };
  /** The private memory of wherryd, in megabytes. */
  const privateMemory = async (): Promise<number> =>
    Number(
      await scene.board.check(
        `awk '/^Private_Dirty/ { print $2 / 1000 }' /proc/$(systemctl show -P MainPID wherryd)/smaps_rollup`,
      ),
    );
  const unitsOf = async (podName: string) => {
    const list = await scene.board.check(
      `cd /etc/systemd/system; ls -d wherry-network-${podName}.*.service wherry-pod-${podName}.*-main.service`,
    );
    const [network = '', app = ''] = list.trim().split('\n');
    return { network, app };
  };
  const inactive = (unit: string) =>
    scene.board.waitFor(`systemctl show -P ActiveState ${unit}`, ({ stdout }) =>
      /^(inactive|failed)/.test(stdout),
    );

  it('[A11.7] [C113] [C114] [C116] is a bridge behind the host, with names, addresses and a host port', async () => {
    const report = await committed(
      scene.desired([
        pod('web', 'bridge', { ports: [{ name: 'http', hostPort: 8080 }], apps: twoApps() }),
        pod('other', 'bridge', { ports: [{ name: 'http', hostPort: 8081, hostIP: '10.0.2.15' }] }),
      ]),
    );
    const [web] = report.pods;
    expect(web?.network).toEqual({ name: 'bridge', addresses: [expect.stringMatching(/^10\.173\.0\./)] });
    expect(await get('http://127.0.0.1:8080/')).toBe('hello from the pod');
    expect(await get('http://10.0.2.15:8081/')).toBe('hello from the pod');
    const pid = pidOf(report, 'other');
    expect(await getInside(pid, 'http://web/')).toBe('hello from the pod');
    expect(await getInside(pid, 'http://10.0.2.15:8080/')).toBe('hello from the pod');
    expect(await getInside(pidOf(report, 'web'), 'http://10.0.2.15:8080/')).toBe('hello from the pod');
    expect(await inside(pid, 'ip -o addr show lo')).toContain('127.0.0.1/8');
    expect(await inside(pid, 'cat /etc/resolv.conf')).toBe('nameserver 10.0.2.3');
  });

  it('[C45] [C61] [C111] is there after a power cut, without an uplink and without wherryd', async () => {
    await scene.board.check('systemctl disable wherryd; sync');
    await scene.board.powerCut();
    await scene.board.bootAgain({ network: false });
    const { app } = await unitsOf('other');
    // The pods start in parallel.
    await scene.board.waitFor(
      `systemctl is-active ${app} >/dev/null && curl -sS --max-time 20 http://127.0.0.1:8080/`,
      ({ stdout }) => stdout === 'hello from the pod',
    );
    const pid = Number(await scene.board.check(`systemctl show -P MainPID ${app}`));
    expect(await getInside(pid, 'http://web/')).toBe('hello from the pod');
    expect((await scene.board.run('systemctl is-active wherryd')).stdout).toContain('inactive');
    await scene.board.check('systemctl enable wherryd; sync');
    await scene.board.powerCut();
    await scene.board.bootAgain();
  });

  it(
    `[C111] [C202] leaves nothing after ${cycles} starts of a pod of two apps`,
    async () => {
      const { network, app } = await unitsOf('web');
      const other = await unitsOf('other');
      // A board takes commands before its pods are up. A stop by pattern skips a unit that waits
      // for its start, and wherryd starts the pods when it starts. `systemctl is-active` succeeds
      // if one of several units is active.
      const up = ['wherryd', app, other.app].map((unit) => `systemctl is-active ${unit}`).join(' && ');
      await scene.board.waitFor(up, ({ status }) => status === 0);
      // A started app does not necessarily listen yet.
      const cycle = `wherry pod start web >/dev/null && timeout 120 sh -c 'until curl -s --max-time 20 -o /dev/null http://127.0.0.1:8080/; do :; done' && wherry pod stop web >/dev/null`;
      await scene.board.check(`wherry pod stop web && ${cycle}`, { timeoutMs: 60_000 + 2 * cycleMs });
      await inactive(network);
      const before = await restingTraces();
      expect(before).not.toContain(network.replace('.service', '.service loaded active'));
      const memory = await privateMemory();
      const started = Date.now();
      await scene.board.check(`for cycle in $(seq ${cycles}); do ${cycle} || exit; done`, {
        timeoutMs: 60_000 + cycles * cycleMs,
      });
      await inactive(network);
      await expect.poll(traces).toBe(before);
      if (cycles < 50) return;
      // Uncollected heap does not count as growth.
      const deadline = Date.now() + 180_000;
      let after = await privateMemory();
      while (after >= memory + 1 && Date.now() < deadline) after = await privateMemory();
      process.stdout.write(
        `${cycles} cycles in ${Math.round((Date.now() - started) / 1000)} s: wherryd had ${memory} MB, has ${after} MB\n`,
      );
      expect(after).toBeLessThan(memory + 1);
    },
    600_000 + cycles * cycleMs,
  );

  it('[C111] leaves nothing behind when it is killed at any moment', async () => {
    const { network, app } = await unitsOf('web');
    const other = await unitsOf('other');
    onTestFinished(async () => {
      await scene.board.check('systemctl start wherryd');
    });
    await scene.board.check(`systemctl stop wherryd 'wherry-pod-*'`);
    await inactive(network);
    await inactive(other.network);
    // One start first, because it leaves some traces until the next boot.
    await scene.board.check(`systemctl start ${app} && systemctl stop ${app} ${network}`);
    const before = await restingTraces();
    expect(before).not.toContain('wherry0');
    expect(before).not.toContain('veth');
    const seed = Number(process.env['WHERRY_SEED'] ?? Date.now() % 1e6);
    for (let kill = 0; kill < Number(process.env['WHERRY_KILLS'] ?? 4); kill++) {
      // One kill during the attachment, and one during the detachment.
      const [first, second] = [(seed * (kill + 1)) % 700, (seed * (kill + 7)) % 500];
      await scene.board.check(
        `systemctl start --no-block ${app}; sleep 0.${String(first).padStart(3, '0')}
        systemctl kill --signal=KILL ${network}
        systemctl stop --no-block ${app} ${network}; sleep 0.${String(second).padStart(3, '0')}
        systemctl kill --signal=KILL ${network}; systemctl stop ${app} ${network}; true`,
      );
    }
    // The next start removes what a killed detachment left behind.
    await scene.board.check(`systemctl reset-failed; systemctl start ${app}`);
    expect(await get('http://127.0.0.1:8080/')).toBe('hello from the pod');
    await scene.board.check(`systemctl stop ${app} ${network}`);
    await expect.poll(traces, { message: `WHERRY_SEED=${seed}` }).toBe(before);
  });

  it('[C111] undoes an attachment whose record was removed', async () => {
    const { network, app } = await unitsOf('web');
    onTestFinished(async () => {
      await scene.board.check('systemctl start wherryd');
    });
    await scene.board.check(`systemctl stop wherryd 'wherry-pod-*'`);
    for (const { network: one } of [{ network }, await unitsOf('other')]) await inactive(one);
    await scene.board.check(`systemctl start ${app} && systemctl stop ${app} ${network}`);
    const before = await restingTraces();
    await scene.board.check(`systemctl start ${app}; rm -r /run/wherry/attachments; systemctl stop ${app}`);
    await inactive(network);
    await expect.poll(traces).toBe(before);
    await scene.board.check(`rm -r /run/wherry/attachments; systemctl start ${app}`);
    expect(await get('http://127.0.0.1:8080/')).toBe('hello from the pod');
  });

  it('[C113] accepts a host port of UDP', async () => {
    const report = await committed(
      scene.desired([pod('talk', 'bridge', { ports: [{ name: 'talk', hostPort: 5353 }] })]),
    );
    expect(await askUdp(pidOf(report, 'talk'), '10.0.2.15', 5353)).toBe('echo hello\n');
  });

  it('[C110] is the network of the host for a pod that names none', async () => {
    const report = await committed(scene.desired([pod('old', undefined)]));
    expect(report.pods[0]).not.toHaveProperty('network');
    expect(await get('http://127.0.0.1:80/')).toBe('hello from the pod');
  });

  it('[C113] refuses a port that another pod has, and names both fields', async () => {
    const ports = [{ name: 'http', hostPort: 8080 }];
    const answer = await scene.deploy(
      scene.desired([pod('one', 'bridge', { ports }), pod('two', 'bridge', { ports })]),
    );
    expect(answer).toMatchObject({
      outcome: 'refused',
      code: 'pod-port-taken',
      message:
        'pod two: ports/http/hostPort: 8080/tcp is taken by pod one: ports/http/hostPort; choose another port',
    });
    expect(await get('http://127.0.0.1:80/')).toBe('hello from the pod');
  });

  it('[C113] refuses a port that a process of the host has, and rolls back', async () => {
    // Until its pod in the host's network has stopped, the device does not know whose the port is.
    await committed(scene.desired([pod('old', undefined)]));
    await scene.board.check(
      `systemd-run --unit=squatter ${busybox} nc -l -p 8090; systemctl is-active squatter`,
    );
    const desired = scene.desired([pod('web', 'bridge', { ports: [{ name: 'http', hostPort: 8090 }] })]);
    expect(await scene.deploy(desired)).toMatchObject({
      outcome: 'rolled-back',
      code: 'pod-port-taken',
      message:
        'pod web: ports/http/hostPort: 8090/tcp is taken by a process of the host; stop it or choose another port',
    });
    await scene.board.check('systemctl stop squatter');
    expect(await get('http://127.0.0.1:80/')).toBe('hello from the pod');
  });

  it('[C366] refuses such a port before it stops a pod, if no pod that would stop can have it', async () => {
    const ports = [{ name: 'http', hostPort: 8089 }];
    const before = await committed(scene.desired([pod('web', 'bridge', { ports })]));
    await scene.board.check(
      `systemd-run --unit=squatter ${busybox} nc -l -p 8090; systemctl is-active squatter`,
    );
    const taken = { ports: [{ name: 'http', hostPort: 8090 }] };
    expect(await scene.deploy(scene.desired([pod('web', 'bridge', taken)]))).toMatchObject({
      outcome: 'refused',
      code: 'pod-port-taken',
      message:
        'pod web: ports/http/hostPort: 8090/tcp is taken by a process of the host; stop it or choose another port',
    });
    expect(await scene.board.check(`systemctl show -P MainPID 'wherry-pod-web.*-main.service'`)).toBe(
      `${pidOf(before, 'web')}\n`,
    );
    // A pod that keeps its port is not judged again.
    await scene.board.check(
      `systemctl stop squatter; systemd-run --unit=late ${busybox} nc -l -p 8089; systemctl is-active late`,
    );
    await committed(scene.desired([pod('web', 'bridge', { ports }), pod('other', 'bridge')]));
    await scene.board.check('systemctl stop late');
  });

  it('[C367] refuses a pod for which its network has no address, before it stops a pod', async () => {
    const small = {
      cniVersion: '1.0.0',
      name: 'small',
      plugins: [{ type: 'bridge', bridge: 'small0', ipam: { type: 'host-local', subnet: '10.9.0.0/29' } }],
    };
    await scene.board.copyIn(Buffer.from(JSON.stringify(small)), '/etc/wherry/networks/small.conflist');
    const five = ['a', 'b', 'c', 'd', 'e'].map((one) => pod(one, 'small'));
    const before = await committed(scene.desired(five));
    expect(await scene.deploy(scene.desired([...five, pod('f', 'small')]))).toMatchObject({
      outcome: 'refused',
      code: 'pod-network-failed',
      message:
        'pod f: the network small has 5 addresses, and 6 are needed with this version; enlarge /etc/wherry/networks/small.conflist or choose another network',
    });
    expect(await scene.board.check(`systemctl show -P MainPID 'wherry-pod-a.*-main.service'`)).toBe(
      `${pidOf(before, 'a')}\n`,
    );
    // Those of pods that stop are free again.
    await committed(scene.desired(['f', 'g', 'h', 'i', 'j'].map((one) => pod(one, 'small'))));
  });

  it('[C287] replaces a pod whose unit files were removed, with its network', async () => {
    await committed(scene.desired([pod('web', 'bridge', { ports: [{ name: 'http', hostPort: 8092 }] })]));
    await scene.board.check('rm /etc/systemd/system/wherry-*web.*; systemctl daemon-reload');
    const ports = [{ name: 'http', hostPort: 8092, hostIP: '127.0.0.1' }];
    await committed(scene.desired([pod('web', 'bridge', { ports })]));
    await expect.poll(() => get('http://127.0.0.1:8092/')).toBe('hello from the pod');
    expect(await scene.board.check('ls /run/netns | wc -l; ls /run/wherry/attachments | grep -vc lock')).toBe(
      '1\n1\n',
    );
  });

  it('[C288] has a new network and new namespaces after a restart of its pod', async () => {
    const ports = [{ name: 'http', hostPort: 8093 }];
    await committed(scene.desired([pod('web', 'bridge', { ports, apps: twoApps() })]));
    // An identifier of each start of a unit.
    const starts = () =>
      scene.board.check(`systemctl show -P InvocationID 'wherry-holder-web.*' 'wherry-network-web.*'`);
    const before = (await starts()).match(/\w+/g);
    expect(before).toHaveLength(2);
    await scene.board.check(
      `iptables -t nat -F; ip netns delete $(ls /run/netns); ip link delete wherry0; wherry pod restart web`,
    );
    await expect.poll(() => get('http://127.0.0.1:8093/')).toBe('hello from the pod');
    const after = (await starts()).match(/\w+/g);
    expect(after).toHaveLength(2);
    expect(after?.filter((start) => before?.includes(start))).toEqual([]);
  });

  it('[C291] has a network again when systemd restarts an app whose namespace was removed', async () => {
    const ports = [{ name: 'http', hostPort: 8094 }];
    await committed(scene.desired([pod('again', 'bridge', { ports, apps: twoApps() })]));
    await scene.board.check(
      `ip netns delete $(ls /run/netns) && systemctl kill -s KILL 'wherry-pod-again.*-main.service'`,
    );
    await expect.poll(() => get('http://127.0.0.1:8094/')).toBe('hello from the pod');
    // Both apps are in the new namespace.
    const pids = `$(systemctl show -P MainPID 'wherry-pod-again.*-*.service')`;
    const namespaces = `for pid in ${pids}; do readlink /proc/$pid/ns/net; done | sort -u`;
    await expect.poll(() => scene.board.check(namespaces)).toMatch(/^net:\[\d+\]\n$/);
    expect(await get('http://127.0.0.1:8094/')).toBe('hello from the pod');
  });

  const setting = '/proc/sys/net/ipv4/ip_unprivileged_port_start';
  const sysctl = (value: string) => ({
    ...{ name: 'os/unix/sysctl', value: { 'net.ipv4.ip_unprivileged_port_start': value } },
  });

  it('[C207] refuses a setting that the kernel rejects, and rolls back', async () => {
    const desired = scene.desired([pod('web', 'bridge', { isolators: [sysctl('many')] })]);
    expect(await scene.deploy(desired)).toMatchObject({
      outcome: 'rolled-back',
      code: 'pod-network-failed',
      message: 'pod web: os/unix/sysctl: the kernel refused the value of net/ipv4/ip_unprivileged_port_start',
    });
  });

  it('[A14.8] [C207] enforces a limit of the pod in both directions, and its kernel settings', async () => {
    const limit = { name: 'resource/network-bandwidth', value: { default: true, limit: '1M' } };
    const isolators = [limit, sysctl('2000')];
    const report = await committed(scene.desired([pod('slow', 'bridge', { isolators })]));
    expect(report.pods[0]?.isolators).toContainEqual(
      expect.objectContaining({ name: 'resource/network-bandwidth', outcome: 'enforced' }),
    );
    const pid = pidOf(report, 'slow');
    expect(await inside(pid, `cat ${setting}`)).toBe('2000');
    expect(await scene.board.check(`cat ${setting}`)).not.toBe('2000\n');
    await scene.board.check(`dd if=/dev/zero of=/proc/${pid}/root/srv/large bs=1M count=6 status=none`);
    const address = report.pods[0]?.network?.addresses[0] ?? '';
    expect(await get(`http://${address}/`)).toBe('hello from the pod');
    const download = async (command: string) => {
      const output = await scene.board.check(
        `${command} -sS -o /dev/null -w '%{size_download} %{speed_download}'`,
      );
      const [sizeBytes, bytesPerSecond] = output.split(' ').map(Number);
      expect(sizeBytes).toBe(6 << 20);
      return bytesPerSecond;
    };
    /** The queues of the host that limit pods. tc gives rates in bytes per second. */
    const limiters = async () =>
      (JSON.parse(await scene.board.check('tc -j -s qdisc')) as readonly Queue[]).filter(
        ({ kind }) => kind === 'tbf',
      );
    const passed = async () => Math.max(...(await limiters()).map(({ bytes }) => bytes));
    // One for each direction. The limit is in bytes, not bits.
    expect((await limiters()).map(({ options }) => options.rate)).toEqual([1_000_000, 1_000_000]);
    expect(await download(`curl http://${address}/large`)).toBeLessThan(1_150_000);
    const limited = await passed();
    expect(limited).toBeGreaterThan(6 << 20);
    // Loopback is exempt.
    await download(`nsenter -n -t ${pid} curl http://127.0.0.1/large`);
    expect((await passed()) - limited).toBeLessThan(1 << 20);
    expect(await scene.board.check(`nsenter -n -t ${pid} tc qdisc show dev lo`)).toMatch(/^qdisc noqueue /);
  });

  it('[C205] has IPv6 addresses and host ports if the device has an IPv6 subnet for pods', async (test) => {
    if ((await scene.board.run('test -d /proc/sys/net/ipv6/conf')).status !== 0)
      test.skip('the kernel has no IPv6');
    await scene.configure('[network]\nsubnet6 = "fd00:173::/64"\n');
    await scene.board.check(
      'ip -6 addr replace fd00:99::1/64 dev eth0 nodad; cd /proc/sys/net/ipv6/conf; echo 0 >all/forwarding; echo 1 >eth0/accept_ra',
    );
    const report = await committed(
      scene.desired([
        pod('web', 'bridge', { ports: [{ name: 'http', hostPort: 8080 }] }),
        pod('other', 'bridge', {
          ports: [
            { name: 'http', hostPort: 8081, hostIP: 'fd00:99::1' },
            { name: 'talk', hostPort: 5353 },
          ],
        }),
      ]),
    );
    const addresses = report.pods[0]?.network?.addresses ?? [];
    expect(addresses).toEqual([expect.stringMatching(/^10\.173\.0\./), expect.stringMatching(/^fd00:173::/)]);
    const pid = pidOf(report, 'other');
    expect(await getInside(pid, `http://[${addresses[1]}]/`)).toBe('hello from the pod');
    for (const url of ['[fd00:99::1]:8080', '127.0.0.1:8080', '[fd00:99::1]:8081']) {
      expect(await get(`http://${url}/`), url).toBe('hello from the pod');
    }
    // Through the device, and back to the same pod.
    expect(await getInside(pid, 'http://[fd00:99::1]:8081/')).toBe('hello from the pod');
    expect(await getInside(pid, 'http://[fd00:99::1]:8080/')).toBe('hello from the pod');
    for (const address of ['10.0.2.15', 'fd00:99::1'])
      expect(await askUdp(pid, address, 5353), address).toBe('echo hello\n');
    // The kernel refuses at once, so a client that tries ::1 before 127.0.0.1 does not wait.
    expect((await scene.board.run('curl -sS --max-time 20 http://[::1]:8080/')).status).toBe(7);
    expect((await scene.board.run('curl -sS --max-time 20 http://127.0.0.1:8081/')).status).toBe(7);
    const settings = 'cd /proc/sys/net/ipv6/conf; cat all/forwarding eth0/accept_ra';
    expect(await scene.board.check(settings)).toBe('1\n2\n');
    await scene.configure('');
  });

  it.for(['macvlan', 'ipvlan'])("is a %s of the operator's configuration", async (type, test) => {
    const made = `ip link add link eth0 name probe type ${type} && ip link delete probe`;
    if ((await scene.board.run(made)).status !== 0) test.skip(`the kernel has no ${type}`);
    const writeList = async (range: object): Promise<void> => {
      const list = {
        ...{ cniVersion: '0.4.0', cniVersions: ['0.4.0', '1.0.0'], name: 'lan' },
        plugins: [
          {
            ...{ type, master: 'eth0', mode: type === 'macvlan' ? 'bridge' : 'l2' },
            ipam: { type: 'host-local', ranges: [[range]] },
          },
        ],
      };
      await scene.board.check('mkdir -p /etc/wherry/networks');
      await scene.board.copyIn(Buffer.from(JSON.stringify(list)), '/etc/wherry/networks/lan.conflist');
    };
    await writeList({ subnet: '192.0.2.0/29', rangeEnd: '192.0.2.3' });
    const two = [pod(`one-${type}`, 'lan'), pod(`two-${type}`, 'lan')];
    const report = await committed(scene.desired(two));
    expect(await getInside(pidOf(report, `two-${type}`), `http://one-${type}/`)).toBe('hello from the pod');
    // The range has two addresses.
    expect(await scene.deploy(scene.desired([...two, pod('three', 'lan')]))).toMatchObject({
      outcome: 'refused',
      code: 'pod-network-failed',
      message: expect.stringMatching(
        /^pod three: the network lan has 2 addresses, and 3 are needed with this version;/,
      ) as string,
    });
    await writeList({ subnet: '192.0.2.0/31' });
    expect(await scene.deploy(scene.desired([...two, pod('three', 'lan')]))).toMatchObject({
      outcome: 'rolled-back',
      code: 'pod-network-failed',
      message: expect.stringMatching(
        /^pod three: the plugin .*vlan refused the network lan: .*too small to allocate from/,
      ) as string,
    });
    await scene.report(({ pods }) => pods.length === 2 && pods.every(({ healthy }) => healthy));
  });

  it('[C110] [C115] refuses a network that the device does not have or does not allow', async () => {
    expect(await scene.deploy(scene.desired([pod('web', 'moon')]))).toMatchObject({
      outcome: 'refused',
      code: 'pod-network-unknown',
    });
    await scene.configure('[network]\nallow_host = false\ndefault = "bridge"\n');
    expect(await scene.deploy(scene.desired([pod('web', 'host')]))).toMatchObject({
      outcome: 'refused',
      code: 'pod-network-forbidden',
    });
    const report = await committed(scene.desired([pod('unsaid', undefined)]));
    expect(report.pods[0]?.network?.name).toBe('bridge');
    const address = report.pods[0]?.network?.addresses[0] ?? '';
    // An unchanged pod keeps its process and therefore its network.
    await scene.configure('');
    const later = await committed(scene.desired([pod('unsaid', undefined), pod('other', 'none')]));
    expect(pidOf(later, 'unsaid')).toBe(pidOf(report, 'unsaid'));
    expect(await get(`http://${address}/`)).toBe('hello from the pod');
    await scene.board.check('mv /usr/lib/cni/portmap /usr/lib/cni/portmap.away');
    expect(await scene.deploy(scene.desired([pod('web', 'bridge')]))).toMatchObject({
      outcome: 'refused',
      code: 'device-unsupported',
      message: expect.stringContaining('install containernetworking-plugins') as string,
    });
    await scene.board.check('mv /usr/lib/cni/portmap.away /usr/lib/cni/portmap');
  });
});
