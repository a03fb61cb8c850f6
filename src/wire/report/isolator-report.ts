/**
 * What became of one limit (ace.md#isolators: ignored, enforced or modified MUST be made known).
 */
export interface IsolatorReport {
  /** The app's name, or empty for the pod's own. */
  readonly app: string;
  readonly name: string;
  readonly outcome: 'enforced' | 'modified' | 'ignored';
  /** What was set, or why it was not. */
  readonly detail: string;
}
