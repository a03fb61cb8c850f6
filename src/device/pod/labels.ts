import { Refusal } from '../../core/refusal/index.ts';
import type { TypedIsolator } from '../../image/appc/index.ts';
import type { IsolatorReport } from '../../wire/report/index.ts';

/** What the kernel's security module would do with a process that has a label. */
export type LabelVerdict =
  /** The module is off, or SELinux has no policy. */
  | 'absent'
  /** The label is not loaded. */
  | 'unknown'
  /** The policy does not let wherryd query it. */
  | 'unchecked'
  /** The label is set, and nothing is denied. */
  | 'permissive'
  | 'enforced';

/** An isolator that names a label of a security module. */
type LabelIsolator = Extract<
  TypedIsolator,
  { kind: 'os/linux/apparmor-profile' | 'os/linux/selinux-context' }
>;

/** Queries the kernel at the time of the call. */
export type JudgeLabel = (kind: LabelIsolator['kind'], label: string) => LabelVerdict;

/** The labels of the processes of an app or a pod. */
export interface Labels {
  readonly apparmorProfile?: string | undefined;
  /** `user:role:type:level` */
  readonly selinuxLabel?: string | undefined;
}

/**
 * Applies an isolator of labels to `labels`. It is ignored without its security module; otherwise
 * it MUST be refused if the AppArmor profile is not loaded (ace.md). A context that the policy does
 * not have is refused likewise: no process can get it.
 *
 * @param judge absent: there are no security modules
 * @throws Refusal pod-isolator-invalid
 */
export function applyLabel(
  labels: { -readonly [Key in keyof Labels]: Labels[Key] },
  app: string,
  isolator: LabelIsolator,
  judge: JudgeLabel = () => 'absent',
): Omit<IsolatorReport, 'app' | 'name'> {
  const { kind } = isolator;
  const isProfile = kind === 'os/linux/apparmor-profile';
  const label = isProfile
    ? isolator.profile
    : [isolator.user, isolator.role, isolator.type, isolator.level].join(':');
  const verdict = judge(kind, label);
  const set = verdict === 'absent' ? undefined : label;
  if (isProfile) labels.apparmorProfile = set;
  else labels.selinuxLabel = set;
  switch (verdict) {
    case 'absent':
      return { outcome: 'ignored', detail: `the kernel has no ${isProfile ? 'AppArmor' : 'SELinux policy'}` };
    case 'unknown':
      throw new Refusal(
        'pod-isolator-invalid',
        `${app === '' ? 'the pod' : `app ${app}`}: ${kind}: ${JSON.stringify(label)} is not ${isProfile ? '' : 'in the policy that is '}loaded; load it on this device or name another`,
      );
    case 'unchecked':
      return { outcome: 'modified', detail: `${label}: the policy does not let wherryd check it` };
    case 'permissive':
      return { outcome: 'modified', detail: `${label} is permissive on this device: nothing is denied` };
    case 'enforced':
      return { outcome: 'enforced', detail: label };
  }
}
