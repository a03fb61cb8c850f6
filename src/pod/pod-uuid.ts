export { podUuid } from '../trust/index.ts';
