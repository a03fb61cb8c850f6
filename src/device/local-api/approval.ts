import type { DeviceReport } from '../../wire/report/index.ts';
import { Refusal } from '../../core/refusal/index.ts';

/** As device/deploy/gate.ts begins the reason that an approval ends. */
const awaitsApproval = 'it awaits approval';

/**
 * What an approval of a version does now, in words, by the last report of wherryd.
 * @param group the group of the version; without it, the version is the device's own
 * @throws Refusal `not-found` for a version whose activation can no longer begin, and for a group
 *   of other devices
 */
export function effectOfApproval(report: DeviceReport | undefined, version: number, group?: string): string {
  const what = nameOf({ version, group });
  if (report === undefined) return `${what} may be activated in this boot; wherryd has not reported yet`;
  const { deployment, refused } = report;
  const past = (why: string) => new Refusal('not-found', `${what} waits for no approval: ${why}`);
  if (deployment?.version === version && deployment.group === group) {
    switch (deployment.phase) {
      case 'wait':
        return deployment.why === undefined || deployment.why.startsWith(awaitsApproval)
          ? `${what} may be activated from now on, in this boot`
          : `${what} is approved in this boot, and still waits: ${deployment.why}`;
      case 'fetch':
      case 'stage':
        return `${what} may be activated once its images are ready, in this boot`;
      case 'activate':
      case 'probation':
        throw past('its activation has begun');
      default:
        throw past(`it was ${deployment.phase}${'code' in deployment ? ` (${deployment.code})` : ''}`);
    }
  }
  const mark =
    group === undefined ? report.trustedVersion : report.groups?.find(({ name }) => name === group);
  if (mark === undefined) {
    const names = report.groups?.map(({ name }) => name).join(', ') ?? 'none';
    throw past(`this device is not in the group; its groups: ${names}`);
  }
  const newest = typeof mark === 'number' ? mark : mark.trustedVersion;
  const other = deployment?.phase === 'wait' ? `${nameOf(deployment)} waits now` : 'no version waits now';
  if (version === report.currentVersion && group === report.group) throw past('it was committed');
  if (version < newest) throw past(`version ${newest} was accepted after it; ${other}`);
  if (version === newest) throw past(`its deployment has ended, or another command has precedence; ${other}`);
  if (refused?.version === version && refused.group === group) throw past(`it was refused (${refused.code})`);
  return `${what} has not arrived; it may be activated when it does, in this boot; ${other}`;
}

function nameOf({
  version,
  group,
}: {
  readonly version: number;
  readonly group?: string | undefined;
}): string {
  return `version ${version}${group === undefined ? '' : ` of the group ${group}`}`;
}
