import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { oneBoard } from './board-choice.ts';
import { busybox } from './busybox-scene.ts';
import { type BuiltImage, Scene } from './scene.ts';

/** The plugins of the bridge of a pod with a UDP port, in the order of ADD. */
const plugins = ['bridge', 'portmap'];
const actions = ['kill the attachment', 'kill the plugin', 'stop the pod'] as const;

/** Takes the place of a plugin, and stops itself at the point that /run/pause names. */
const pausing = `#!/bin/sh
config=$(cat)
pause() {
  [ "$(cat /run/pause 2>/dev/null)" = "$CNI_COMMAND \${0##*/} $1" ] || return 0
  rm /run/pause
  echo $$ >/run/paused.new
  mv /run/paused.new /run/paused
  kill -STOP $$
}
pause before
status=0
answer=$(printf '%s' "$config" | "$0.real") || status=$?
pause after
printf '%s' "$answer"
exit $status
`;

/** What becomes of an attachment when something happens in it. Pods of two apps, real plugins. */
describe.each(oneBoard)('the attachment of a pod on %s', (name) => {
  let scene: Scene;
  let image: BuiltImage;
  beforeAll(async () => {
    scene = await Scene.start(name);
    image = await scene.image('busybox', [busybox, 'httpd', '-f', '-p', '80', '-h', '/srv'], {
      files: [{ path: '/srv/index.html', content: 'hello from the pod' }],
    });
  });
  afterAll(() => scene.stop());

  const annotations = [{ name: 'wherry/stop-signal', value: 'SIGKILL' }];
  const pod = (podName: string, network: string, manifest: Record<string, unknown> = {}) => ({
    ...{ name: podName, image, app: { annotations } },
    manifest: { annotations: [{ name: 'wherry/network', value: network }], ...manifest },
  });
  const main = () => ({ name: 'main', image: { id: image.id, name: image.name }, annotations });
  const putList = async (...types: object[]) => {
    const list = { cniVersion: '1.0.0', name: 'lan', plugins: types };
    await scene.board.check('mkdir -p /etc/wherry/networks');
    await scene.board.copyIn(Buffer.from(JSON.stringify(list)), '/etc/wherry/networks/lan.conflist');
  };
  const committed = async (...pods: ReturnType<typeof pod>[]) => {
    const answer = await scene.deploy(scene.desired(pods));
    expect(answer, JSON.stringify(answer)).toMatchObject({ outcome: 'committed' });
  };
  const get = (url: string) => scene.board.waitFor(`curl -sS --max-time 20 ${url}`);

  it('[C255] leaves nothing, and can be repeated, when it is killed or stopped at any step', async () => {
    const side = {
      ...main(),
      name: 'side',
      app: { exec: [busybox, 'sleep', '1000000'], user: '0', group: '0' },
    };
    const ports = [
      { name: 'http', hostPort: 8080, podPort: { name: 'http', protocol: 'tcp', port: 80 } },
      { name: 'talk', hostPort: 5353, podPort: { name: 'talk', protocol: 'udp', port: 53 } },
    ];
    await committed(pod('web', 'bridge', { apps: [main(), side], ports }));
    await scene.board.check('systemctl stop wherryd');
    for (const plugin of plugins) {
      await scene.board.check(`mv /usr/lib/cni/${plugin} /usr/lib/cni/${plugin}.real`);
      await scene.board.copyIn(Buffer.from(pausing), `/usr/lib/cni/${plugin}`);
      await scene.board.check(`chmod 0755 /usr/lib/cni/${plugin}`);
    }
    onTestFinished(async () => {
      for (const plugin of plugins)
        await scene.board.check(`mv /usr/lib/cni/${plugin}.real /usr/lib/cni/${plugin}`);
      await scene.board.check('systemctl start wherryd');
    });
    const listed = await scene.board.check(
      `cd /etc/systemd/system; ls -d wherry-pod-web.*.service; ls -d wherry-network-web.*`,
    );
    const [app = '', other = '', network = ''] = listed.trim().split('\n');
    // The same units as `wherry pod stop`.
    const stop = `systemctl stop ${app} ${other} ${network} 'wherry-holder-web.*'`;
    /** Everything that an attachment could leave behind. */
    const traces = () =>
      scene.board.check(`
          ip -o link | cut -d: -f2 | cut -d@ -f1; ls /run/netns /run/wherry/attachments /run/wherry/names
          for tables in iptables ip6tables; do $tables-save | grep -v '^#' | sed 's/\\[.*//'; done
          find /run/wherry/leases -name '[0-9]*'; ls /sys/fs/cgroup/wherry.slice/wherry-pod.slice/*/
          systemctl list-units --state=active,activating,deactivating --plain --no-legend 'wherry-network-*' 'wherry-holder-*'`);
    // What is left of an attachment that was killed while it wrote its report.
    await scene.board.check(
      `${stop}; cd /run/wherry/attachments; : >$(systemctl show -P ExecStart ${network} | grep -oE '[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}' | head -n 1).failure.new`,
    );
    await scene.board.check(`systemctl start ${app} ${other}; ${stop}`);
    const before = await traces();
    expect(before).not.toContain('.failure');
    expect(before).not.toContain('veth');

    for (const point of ['before', 'after'])
      for (const step of plugins.flatMap((plugin) => [`ADD ${plugin}`, `DEL ${plugin}`]))
        for (const action of actions) {
          const where = `${action} ${point} ${step}`;
          const pause = `echo '${step} ${point}' >/run/pause`;
          const arrive =
            'until [ -e /run/paused ]; do sleep 0.05; done; pid=$(cat /run/paused); rm /run/paused';
          const act = {
            'kill the attachment': `systemctl kill --signal=KILL ${network}`,
            'kill the plugin': 'kill -KILL $pid',
            'stop the pod': `${stop} --no-block`,
          }[action];
          const starts = `systemctl start --no-block ${app} ${other}`;
          const begin = step.startsWith('ADD')
            ? `${pause}; ${starts}`
            : `systemctl start ${app} ${other}; ${pause}; systemctl stop --no-block ${app} ${other} ${network}`;
          // A stop does not end a detachment, and waits for the paused plugin.
          await scene.board.check(`${begin}; ${arrive}; ${act}; kill -CONT $pid 2>/dev/null; ${stop}; true`);
          // The next start removes what a killed DEL has left.
          await scene.board.check(`systemctl reset-failed; systemctl start ${app} ${other}`);
          expect((await get('http://127.0.0.1:8080/')).stdout, where).toBe('hello from the pod');
          await scene.board.check(stop);
          await expect.poll(traces, { message: where }).toBe(before);
        }
  }, 900_000);

  it('[C204] uses the plugins of the list as it was when the version was staged', async () => {
    const ipam = (subnet: string) => ({ type: 'host-local', ranges: [[{ subnet }]] });
    await putList(
      { type: 'bridge', bridge: 'lan0', isGateway: true, ipam: ipam('192.0.2.0/29') },
      { type: 'tuning', sysctl: { 'net.ipv4.ip_unprivileged_port_start': '2000' } },
    );
    const one = pod('one', 'lan');
    await committed(one);
    await putList({ type: 'ptp', ipam: ipam('198.51.100.0/29') });
    // A running pod keeps its network; its next start has the other one.
    await committed(one, pod('two', 'host'));
    const address = () => scene.board.check('wherry network inspect lan | grep "^pod"');
    expect(await address()).toMatch(/^pod one 192\.0\.2\./);
    await scene.board.check('wherry pod restart one');
    await expect.poll(address).toMatch(/^pod one 198\.51\.100\./);
    expect((await get('http://198.51.100.2/')).stdout).toBe('hello from the pod');
    expect(await scene.board.check('ls /var/lib/wherry/pods/*/network')).not.toContain('tuning');
  });

  it('[C243] leaves a volume at /etc/hosts alone when other pods start', async () => {
    await scene.board.check('echo 192.0.2.9 mine >/srv/hosts');
    const own = pod('own', 'bridge', {
      apps: [{ ...main(), mounts: [{ volume: 'hosts', path: '/etc/hosts' }] }],
      volumes: [{ name: 'hosts', kind: 'host', source: '/srv/hosts', readOnly: true }],
    });
    await committed(own);
    await committed(own, pod('other', 'bridge'));
    const read = (podName: string) =>
      scene.board.check(`wherry exec ${podName} main -- ${busybox} cat /etc/hosts`);
    expect(await read('own')).toBe('192.0.2.9 mine\n');
    expect(await read('other')).toMatch(/^10\.\S+ own$/m);
  });

  it('[C245] is ended when a plugin does not answer, and the refusal names the plugin', async () => {
    const drop = '/etc/systemd/system/wherry-network-.service.d';
    await scene.board.check(
      `mkdir -p /opt/cni/bin ${drop}; echo '[Service]\nTimeoutStartSec=2' >${drop}/test.conf`,
    );
    await scene.board.copyIn(
      Buffer.from('#!/bin/sh\n[ "$CNI_COMMAND" = DEL ] || exec sleep 1000000\n'),
      '/opt/cni/bin/silent',
    );
    await scene.board.check('chmod 0755 /opt/cni/bin/silent');
    onTestFinished(async () => {
      await scene.board.check(`rm -r ${drop}; systemctl daemon-reload`);
    });
    await putList({ type: 'silent' });
    expect(await scene.deploy(scene.desired([pod('web', 'lan')]))).toMatchObject({
      outcome: 'rolled-back',
      code: 'pod-network-failed',
      message: 'pod web: the plugin silent did not attach the network lan in time',
    });
  });
});
