import type { Account } from '../../image/appc/index.ts';
import { Refusal } from '../../core/refusal/index.ts';
import { unitText } from '../systemd/index.ts';
import type { CompiledPod, HostFacts, PodInput } from './compiled-pod.ts';
import { deliverScript, deliverScriptPath } from './deliver-script.ts';
import { type PodPlaces, secretsMount } from './places.ts';
import { type AppSecret, resolveSecrets, secretsRevision, secretsTarget } from './secrets.ts';
import type { AppSettings } from './settings.ts';
import { signalNumber } from './stop-script.ts';
import type { ResolvedMount } from './volumes.ts';

/** How an app that runs gets new values of its secrets. */
export interface Delivery {
  /** The directory of the host with the files of its secrets. */
  readonly directory: string;
  /** The mount unit of the memory that has this directory. */
  readonly mount: string;
  readonly unit: CompiledPod['units'][number];
}

/** The secrets of an app. @throws Refusal `pod-secret-unknown` */
export function secretsOf(
  app: string,
  settings: AppSettings,
  { secrets = new Map() }: PodInput,
): readonly AppSecret[] {
  return resolveSecrets(app, settings.secrets, secrets);
}

/** Refuses volumes at the place of the secrets, which are mounted last and would hide them. */
export function refuseOverSecrets(
  app: string,
  mounts: readonly ResolvedMount[],
  secrets: readonly AppSecret[],
): void {
  const over = mounts.find(
    ({ target }) => target === secretsTarget || target.startsWith(`${secretsTarget}/`),
  );
  if (secrets.length === 0 || over === undefined) return;
  throw new Refusal(
    'pod-volume-invalid',
    `app ${app}: ${over.target} is where its secrets are; mount the volume elsewhere`,
  );
}

/**
 * The unit that delivers the secrets of an app that gets them by a signal; undefined for another
 * app. Its name has the revision of the values, so the one rename that switches to the next set
 * switches values, and the unit of the app stays as it is.
 */
export function compileDelivery(input: {
  readonly podName: string;
  readonly app: string;
  /** The unit of the app. */
  readonly unit: string;
  readonly settings: AppSettings;
  readonly secrets: readonly AppSecret[];
  readonly account: Account;
  readonly places: PodPlaces;
  readonly host: HostFacts;
}): Delivery | undefined {
  const { podName, app, unit, settings, secrets, account, places, host } = input;
  const { secretsSignal: signal } = settings;
  if (signal === undefined || secrets.length === 0) return undefined;
  const directory = places.secrets(app);
  const mount = secretsMount(host).unit;
  const files = secrets.map(({ name, mode }) => `${name}:${mode}:${account.uid}:${account.gid}`);
  const text = unitText({
    Unit: {
      Description: `Secrets of app ${app} of pod ${podName}`,
      Requires: [mount],
      After: [mount],
      Before: [unit],
      StartLimitIntervalSec: 0,
    },
    Service: {
      Type: 'oneshot',
      RemainAfterExit: true,
      LoadCredentialEncrypted: secrets.map(
        ({ name, digest }) => `${name}:${host.directories.secrets ?? ''}/${digest}.cred`,
      ),
      ExecStart: [
        [
          ...['/bin/sh', places.absolute(deliverScriptPath), directory, unit],
          ...[String(signalNumber(signal)), ...files],
        ],
      ],
      // At boot, as the app does that loads its secrets itself.
      Restart: 'on-failure',
      RestartSec: 1,
      RestartSteps: 4,
      RestartMaxDelaySec: 30,
      // To give files to their user, to signal the app, and to read in /proc whether it waits for
      // the signal.
      CapabilityBoundingSet: ['CAP_CHOWN', 'CAP_DAC_READ_SEARCH', 'CAP_KILL', 'CAP_SYS_PTRACE'],
      StandardInput: 'null',
      SyslogIdentifier: 'wherry-secrets',
      LogExtraFields: { WHERRY_POD: podName },
    },
  });
  return { directory, mount, unit: { name: places.secretsUnit(app, secretsRevision(secrets)), text } };
}

/** The units and files of a pod for all of its deliveries, and the mount unit that they share. */
export function deliverAll(
  deliveries: readonly Delivery[],
  host: HostFacts,
): Pick<CompiledPod, 'units' | 'files' | 'mounts'> {
  if (deliveries.length === 0) return { units: [], files: [], mounts: [] };
  const { unit, where } = secretsMount(host);
  const text = unitText({
    Unit: {
      Description: 'Secrets of pods',
      // As for mounts of images.
      DefaultDependencies: false,
      Conflicts: ['umount.target'],
      Before: ['umount.target'],
    },
    // It is never swapped, and only root reaches it. It has no source.
    Mount: {
      What: host.directories.run,
      Where: where,
      Type: 'ramfs',
      Options: 'mode=0700,nodev,nosuid,noexec',
    },
  });
  return {
    units: [{ name: unit, text }, ...deliveries.map((delivery) => delivery.unit)],
    files: [{ path: deliverScriptPath, content: deliverScript, mode: 0o644 }],
    mounts: [unit],
  };
}
