import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { AcName } from '../../src/image/appc/index.ts';
import {
  decodeLogAnswer,
  type DeploymentEvent,
  groupTopic,
  type LogAnswer,
} from '../../src/wire/report/index.ts';
import {
  type DesiredState,
  encodeEnvelope,
  encodeLogRequest,
  placeOnRing,
  type Share,
} from '../../src/wire/trust/index.ts';
import { signDetached } from '../../src/wire/trust/sign.ts';
import { oneBoard } from './board-choice.ts';
import { type BuiltImage, device, fleet, Scene } from './scene.ts';

/** A board in two groups. Its broker also sends genuine commands on topics of other targets. */
describe.each(oneBoard)('on %s', (boardName) => {
  let scene: Scene;
  let image: BuiltImage;
  /** The newest message on the topic of each target that is for it. */
  const genuine = new Map<string, Uint8Array>();

  /** A version of a group with one pod, whose name identifies the group. */
  const forGroup = (group: string, version: number, change: Partial<DesiredState> = {}): DesiredState =>
    scene.desired([{ name: `${group}-${version}`, image }], {
      target: { group: group as AcName },
      version,
      ...change,
    });
  const ownCommand = (version: number, change: Partial<DesiredState> = {}): DesiredState =>
    scene.desired([{ name: `own-${version}`, image }], { version, ...change });
  const topicOf = (group: string): string => groupTopic(fleet, group);
  const publish = async (desired: DesiredState, topic?: string): Promise<void> => {
    const { target } = desired;
    const own = 'group' in target ? topicOf(target.group) : scene.ownTopic;
    const message = await scene.sign(desired);
    if (topic === undefined) genuine.set(own, message);
    await scene.send(message, topic ?? own);
  };
  /** Publishes, and waits for the next answer. */
  const answerTo = async (desired: DesiredState, topic?: string): Promise<string> => {
    const before = scene.events.length;
    await publish(desired, topic);
    return wordsOf(await scene.eventAfter(before));
  };
  /** The device then knows what the broker retains, and sends no answer to it. */
  const restoreGenuine = async (): Promise<void> => {
    for (const [topic, message] of genuine) await scene.send(message, topic);
  };
  const wordsOf = (event: DeploymentEvent): string =>
    [event.group ?? 'device', event.version, 'code' in event ? event.code : event.outcome].join(' ');
  const runs = async (pod: string): Promise<void> => {
    await scene.report(({ pods }) => pods.length === 1 && pods[0]?.name === pod && pods[0].healthy);
  };

  beforeAll(async () => {
    scene = await Scene.start(boardName, { powerLoss: true });
    const lines = 'groups = ["kitchen", "floor"]\\nlabels = { site = "pier 4" }';
    await scene.board.check(`sed -i '1i ${lines}' /etc/wherry/wherry.toml; systemctl restart wherryd`);
    await scene.report(({ groups }) => groups?.length === 2);
    image = await scene.image('busybox', ['/usr/bin/busybox', 'sh', '-c', 'while sleep 1; do :; done']);
  });

  afterAll(async () => {
    await scene.stop();
  });

  it('[C175] runs the command of the first target that has one', async () => {
    expect(await answerTo(forGroup('floor', 5))).toBe('floor 5 committed');
    await runs('floor-5');
    expect(await answerTo(forGroup('kitchen', 2))).toBe('kitchen 2 committed');
    await runs('kitchen-2');
    expect(await answerTo(ownCommand(1))).toBe('device 1 committed');
    await runs('own-1');
    expect(await answerTo(forGroup('floor', 6))).toBe('floor 6 passed-over');
    const report = await scene.report(({ groups }) => groups?.[1]?.trustedVersion === 6);
    expect(report).toMatchObject({
      trustedVersion: 1,
      currentVersion: 1,
      groups: [
        { name: 'kitchen', trustedVersion: 2 },
        { name: 'floor', trustedVersion: 6 },
      ],
      labels: [{ name: 'site', value: 'pier 4' }],
    });
    expect(report).not.toHaveProperty('group');
  });

  it('[C174] refuses genuine commands on the topic of another target', async () => {
    expect(await answerTo(ownCommand(9), topicOf('kitchen'))).toBe('kitchen 0 wrong-target');
    expect(await answerTo(forGroup('floor', 9), topicOf('kitchen'))).toBe('kitchen 0 wrong-target');
    expect(await answerTo(forGroup('kitchen', 9), scene.ownTopic)).toBe('device 0 wrong-target');
    await restoreGenuine();
    await runs('own-1');
  });

  it('[C176] remembers the versions of all targets after a power cut', async () => {
    await scene.board.powerCut();
    const before = scene.events.length;
    await publish(forGroup('kitchen', 1), topicOf('kitchen')); // a replay while wherryd is down
    await scene.board.bootAgain();
    expect(wordsOf(await scene.eventAfter(before))).toBe('kitchen 0 version-older');
    expect(await answerTo(forGroup('floor', 5), topicOf('floor'))).toBe('floor 0 version-older');
    await restoreGenuine();
    await runs('own-1');
  });

  it('[C177] returns to its group when its own command is withdrawn', async () => {
    expect(await answerTo(forGroup('kitchen', 3))).toBe('kitchen 3 passed-over');
    const before = scene.events.length;
    await publish(ownCommand(2, { pods: [], images: [], withdrawn: true }));
    expect(wordsOf(await scene.eventAfter(before))).toBe('device 2 committed');
    expect(wordsOf(await scene.eventAfter(before + 1))).toBe('kitchen 3 committed');
    await runs('kitchen-3');
    const report = await scene.report(({ group }) => group === 'kitchen');
    expect(report).toMatchObject({ trustedVersion: 2, withdrawn: true, currentVersion: 3 });
    const state = await scene.board.check('wherry approve 9 --group kitchen; ls /run/wherry/approvals');
    expect(state).toContain('kitchen.9');
  });

  it('[C228] keeps its pods outside of a share, over a power cut too, and obeys a wider one', async () => {
    const place = placeOnRing(fleet, device);
    const shared = (version: number, share: Share, pods = forGroup('kitchen', version).pods) =>
      forGroup('kitchen', version, { target: { group: 'kitchen' as AcName, share }, pods });
    const before = scene.events.length;
    const passesBy = shared(4, { from: 0, to: place });
    await publish(passesBy);
    await scene.report(({ groups }) => groups?.[0]?.trustedVersion === 4);
    await runs('kitchen-3');

    await scene.board.powerCut();
    // A replay of the earlier, wider command while wherryd was down. The first answer is to it.
    await publish(forGroup('kitchen', 3), topicOf('kitchen'));
    await scene.board.bootAgain();
    expect(wordsOf(await scene.eventAfter(before))).toBe('kitchen 0 version-older');
    await restoreGenuine();
    await runs('kitchen-3');

    const inside = { from: place, to: place + 1 };
    expect(await answerTo(shared(5, inside))).toBe('kitchen 5 committed');
    await runs('kitchen-5');
    const started = async () =>
      await scene.board.check("systemctl show -p ActiveEnterTimestampMonotonic 'wherry-pod-*.service'");
    const since = await started();
    expect(since).toMatch(/=[1-9]/);
    const all = forGroup('kitchen', 6, { pods: shared(5, inside).pods });
    expect(await answerTo(all)).toBe('kitchen 6 committed');
    expect(await started()).toBe(since);
  });

  it('[C233] sends the output of a pod on a signed request, and nothing on a replay', async () => {
    const allow = '\\n[logs]\\nremote_pods = ["talker"]\\n';
    await scene.board.check(`printf '${allow}' >> /etc/wherry/wherry.toml; systemctl restart wherryd`);
    await scene.report(({ capabilities }) => capabilities.some(({ name }) => name === 'log-requests'));
    // Colours, bytes that are no text, and a line of 20,000 characters.
    const says = "printf 'out of the pod\\n\\033[31mred\\033[0m\\n\\001\\377\\n%020000d\\n' 7";
    const exec = ['/usr/bin/busybox', 'sh', '-c', `${says}; while sleep 1; do :; done`];
    const app = { app: { exec, user: '0', group: '0' } };
    await publish(scene.desired([{ name: 'talker', image, app }], { version: 100 }));
    const { bootId } = await scene.report(({ pods }) => pods[0]?.name === 'talker' && pods[0].healthy);
    // A running app has not necessarily written yet.
    await scene.board.waitFor(
      'journalctl --sync; journalctl -q WHERRY_POD=talker | grep -q "out of the pod$"',
    );

    const issued = Math.floor(Date.now() / 1000);
    const time = { issued, expires: issued + 300 };
    const payload = encodeLogRequest({
      ...{ format: 1, ask: 'logs', fleet, device, boot: bootId, ...time },
      ...{ pod: 'talker' as AcName, since: issued - 600, limitBytes: 40_000 },
    });
    const signatures = [await signDetached(payload, scene.deployKey.privateKey, issued)];
    const answers = (): readonly LogAnswer[] => scene.traffic.flatMap(logAnswer);
    const ends = (): readonly string[] =>
      answers().flatMap((answer) => ('end' in answer ? [answer.code ?? answer.end] : []));
    const topic = scene.ownTopic.replace(/desired$/, 'ask');
    for (const end of ['complete', 'request-replayed']) {
      await scene.send(encodeEnvelope({ payload, signatures }), topic);
      await expect.poll(ends).toContain(end);
    }
    const text = Buffer.concat(answers().flatMap((answer) => ('text' in answer ? [answer.text] : [])));
    const lines = text.toString().trimEnd().split('\n');
    expect(lines.map((line) => line.replace(/^[^:]*:.*?: /, ''))).toEqual([
      'out of the pod',
      '\u001b[31mred\u001b[0m',
      '\u0001\uFFFD',
      '7'.padStart(20_000, '0'),
    ]);
  });

  it('[C334] quotes the last output of the app that failed, if it may leave the device', async () => {
    const exec = ['/usr/bin/busybox', 'sh', '-c', 'echo no database; exit 3'];
    const annotations = [{ name: 'wherry/restart', value: 'no' }];
    const app = { app: { exec, user: '0', group: '0' }, annotations };
    const messages = [];
    for (const [index, name] of ['talker', 'quiet'].entries()) {
      const event = await scene.deploy(scene.desired([{ name, image, app }], { version: 101 + index }));
      expect(event).toMatchObject({ outcome: 'rolled-back' });
      messages.push('message' in event ? event.message : '');
    }
    expect(messages).toEqual([
      expect.stringMatching(/^app main of pod talker .*; it wrote last: (?:"no database"(?:, )?)+$/),
      expect.stringMatching(/^app main of pod quiet [^;]*$/),
    ]);
  });
});

function logAnswer(payload: Uint8Array): readonly LogAnswer[] {
  try {
    return [decodeLogAnswer(payload)];
  } catch {
    return []; // another message
  }
}
