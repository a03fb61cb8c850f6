import { readFileSync } from 'node:fs';
import { BaseSequencer, type TestSpecification } from 'vitest/node';

/**
 * The names that a board test imports from test/board/board-choice.ts if it starts an emulated
 * board.
 */
const emulated = /\b(everyBoard|everyKind|everyRelease|boardsFor|itOncePerKind)\b/;

/**
 * Files with and without emulated boards alternate. An emulated board keeps a processor busy and a
 * native one mostly waits, so one of each kind at a time uses the machine best.
 */
export class BoardOrder extends BaseSequencer {
  override async sort(files: TestSpecification[]): Promise<TestSpecification[]> {
    const sorted = await super.sort(files);
    const busy = sorted.filter(({ moduleId }) => emulated.test(readFileSync(moduleId, 'utf8')));
    const waiting = sorted.filter((file) => !busy.includes(file));
    return sorted.flatMap((_, at) => [busy[at] ?? [], waiting[at] ?? []].flat());
  }
}
