import { progressOf, type DeviceView, type Progress } from '../../operator/fleet/index.ts';
import type { Answer, Member, Seen } from '../rollout/index.ts';

/** What a device reports about the commands of a member; undefined when it never reported. */
export function seenOf(view: DeviceView, member: Member): Seen | undefined {
  const { report } = view;
  if (report === undefined && view.events.length === 0) return undefined;
  const versions = member.undoVersion === undefined ? [member.version] : [member.version, member.undoVersion];
  const answers = new Map<number, Omit<Answer, 'atMs'>>();
  for (const version of versions) {
    // A refusal without a version cannot be attributed to a command.
    const answer = answerOf(progressOf(view, version, Infinity));
    if (answer !== undefined) answers.set(version, answer);
  }
  return {
    trustedVersion: report?.trustedVersion ?? 0,
    // Versions of a group are counted separately.
    currentVersion: report?.group === undefined ? (report?.currentVersion ?? 0) : 0,
    healthy: report?.pods.every(({ healthy }) => healthy) ?? true,
    answers,
  };
}

function answerOf(progress: Progress): Omit<Answer, 'atMs'> | undefined {
  switch (progress.phase) {
    case 'committed':
      return { phase: 'committed' };
    case 'rolled-back':
    case 'refused':
      return { phase: progress.phase, code: progress.code, message: progress.message };
    case 'superseded':
      return { phase: 'left', code: progress.code, message: progress.message };
    case 'waiting':
    case 'fetch':
    case 'stage':
    case 'wait':
    case 'activate':
    case 'probation':
      return undefined;
  }
}
