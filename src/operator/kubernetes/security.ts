import { defaultCapabilities } from '../../image/appc/index.ts';
import type { Fields, Findings } from './fields.ts';

/** The security context of a pod or a container; that of a container has precedence. */
export interface Security {
  readonly user?: number;
  readonly group?: number;
  readonly nonRoot?: boolean;
  readonly unconfined?: boolean;
  readonly supplementaryGroups?: readonly number[];
}

/** The fields that a pod and its containers have in common. */
export function readSecurity(fields: Fields): Security {
  const seccomp = fields.object('seccompProfile', (profile) => {
    // Every app has a filter unless it requests none.
    profile.only('type', 'RuntimeDefault');
    const unconfined = profile.has('type') && profile.string('type') === 'Unconfined';
    return unconfined;
  });
  const [user, group] = [fields.count('runAsUser'), fields.count('runAsGroup')];
  const nonRoot = fields.boolean('runAsNonRoot');
  return {
    ...(user === undefined ? {} : { user }),
    ...(group === undefined ? {} : { group }),
    ...(nonRoot === undefined ? {} : { nonRoot }),
    ...(seccomp === undefined ? {} : { unconfined: seccomp }),
  };
}

interface Isolator {
  readonly name: string;
  readonly value: unknown;
}

/** The rest of a container's security context, as isolators and as `readOnlyRootFS`. */
export function readContainerSecurity(fields: Fields): Security & {
  readonly isolators: readonly Isolator[];
  readonly readOnlyRoot?: boolean;
} {
  fields.only('privileged', false);
  if (fields.has('privileged')) {
    fields.take('privileged');
    fields.findings.add(
      fields.at('privileged'),
      'no app has all rights on a device; add single capabilities',
    );
  }
  const escalation = fields.boolean('allowPrivilegeEscalation');
  const readOnlyRoot = fields.boolean('readOnlyRootFilesystem');
  const capabilities = fields.object('capabilities', (sets) =>
    capabilityIsolators(sets.strings('add') ?? [], sets.strings('drop') ?? [], sets.findings, sets.path),
  );
  const common = readSecurity(fields);
  return {
    ...common,
    ...(readOnlyRoot === undefined ? {} : { readOnlyRoot }),
    isolators: [
      ...(capabilities ?? []),
      ...(escalation === false ? [{ name: 'os/linux/no-new-privileges', value: true }] : []),
      ...(common.unconfined === true
        ? [{ name: 'os/linux/seccomp-retain-set', value: { set: ['@appc.io/all'] } }]
        : []),
    ],
  };
}

function capabilityIsolators(
  add: readonly string[],
  drop: readonly string[],
  findings: Findings,
  path: string,
): readonly Isolator[] {
  const full = (name: string): string => (name.startsWith('CAP_') ? name : `CAP_${name}`);
  if (add.includes('ALL')) findings.add(`${path}.add`, 'an app cannot get ALL; name the capabilities');
  const dropped = new Set(drop.includes('ALL') ? defaultCapabilities : drop.map(full));
  const kept = [
    ...new Set([
      ...defaultCapabilities.filter((name) => !dropped.has(name)),
      ...add.filter((name) => name !== 'ALL').map(full),
    ]),
  ];
  if (add.length === 0 && drop.length === 0) return [];
  // A retain-set cannot be empty.
  return kept.length === 0
    ? [{ name: 'os/linux/capabilities-remove-set', value: { set: defaultCapabilities } }]
    : [{ name: 'os/linux/capabilities-retain-set', value: { set: kept } }];
}
