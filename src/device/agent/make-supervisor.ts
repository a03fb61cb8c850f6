import { isUntried, markOfTarget, type TrustedRoot } from '../deploy/index.ts';
import { systemClock } from '../../core/ports/index.ts';
import { examineInUnit, examineRootInUnit } from '../jobs/examine/index.ts';
import { sealInUnit } from '../jobs/seal/index.ts';
import type { DeviceSession } from '../session/index.ts';
import { trustedInEra } from '../../wire/trust/index.ts';
import type { DeviceWorld } from '../world/index.ts';
import { checkMessage } from './message-policy.ts';
import type { OpenedDevice } from './open-device.ts';
import { rootFiles } from './root-files.ts';
import { RootUpdates } from './root-updates.ts';
import { Supervisor } from './supervisor.ts';

/** What the judges of messages share with the rest of wherryd. */
export interface Surroundings {
  readonly world: DeviceWorld;
  readonly session: DeviceSession;
  /** Digests of the secrets of the message that was examined last. */
  readonly sealed: Set<string>;
  /** Requests a report. */
  readonly report: () => void;
  /** A deployment has ended: its memory is no longer needed. */
  readonly onRest: () => void;
  readonly signal: AbortSignal;
}

/** Makes the parts that handle commands and roots of trust. One message is examined at a time. */
export function makeSupervisor(
  device: OpenedDevice,
  live: Surroundings,
): { readonly supervisor: Supervisor; readonly roots: RootUpdates } {
  const { journal, places, config, disk, systemd, host, keeper, owner, stores, trust, now, examining } =
    device;
  const { world, session, signal } = live;
  const supervisor = new Supervisor({
    keeper,
    groups: config.groups,
    world,
    clock: systemClock,
    journal,
    bootId: host.bootId,
    check: checkMessage,
    later: (delayMs, work) => {
      systemClock.sleep(delayMs, signal).then(work, () => undefined);
    },
    examine: async (message, _state, examineSignal, group) => {
      await roots.settled(examineSignal);
      return await examining(async () => {
        const time = await now();
        // Read in turn, not before: a root that came before the message counts.
        const { root } = keeper.state;
        const { withdrawn: _withdrawn, ...trusted } = markOfTarget(keeper.state, group);
        return await examineInUnit(
          message,
          {
            ...trust.deploy(),
            copies: trust.copies(),
            fleet: config.fleet,
            device: config.device,
            ...(group === undefined ? {} : { group }),
            ...(isUntried(keeper.state, config.groups, group) ? { untried: true as const } : {}),
            trusted: trustedInEra(trusted, root?.era),
            time,
            ...(root === undefined ? {} : { root: termsOf(root) }),
          },
          {
            ...{ systemd, disk, run: places.run, owner, deviceKey: places.deviceKey },
            seal: async (secrets, directory) => {
              live.sealed.clear();
              for (const { digest } of secrets) live.sealed.add(digest);
              const ports = { systemd, disk, secrets: places.secrets };
              await sealInUnit(secrets, directory, ports, examineSignal);
            },
          },
          examineSignal,
        );
      });
    },
    startPods: (podSignal) => world.startPods(keeper.state, podSignal),
    onRest: live.onRest,
    onChange: live.report,
    onEvent: (event) => session.publishEvent(event),
    onWithdrawn: () => session.askForCommands(),
    onRepeated: () => session.repeatReport(),
    onAccepted: (desired) => session.setReconnectWindow(desired.policy.reconnectWindowSeconds),
  });

  const roots = new RootUpdates({
    keeper,
    clock: systemClock,
    journal,
    files: () => rootFiles(stores),
    examine: (message, trusted, examineSignal) =>
      examining(async () =>
        examineRootInUnit(
          message,
          {
            fleet: config.fleet,
            time: await now(),
            copies: trust.copies(),
            ...(trusted === undefined ? {} : { trusted }),
          },
          { systemd, disk, run: places.run, owner },
          examineSignal,
        ),
      ),
    onTrusted: ({ document }) => {
      supervisor.forgetJudgement();
      session.awaitRoot(document.version + 1);
      live.report();
    },
    onRefused: (code, message) => supervisor.refuse(code, message),
  });
  return { supervisor, roots };
}

/** The fields of the root by which a command is judged. */
function termsOf({ document, era }: TrustedRoot): { version: number; expires: number; notBefore?: number } {
  const { version, expires } = document;
  return { version, expires, ...(era === undefined ? {} : { notBefore: era.issued }) };
}
