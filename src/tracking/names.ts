// Names for runs and logged models that were given none: two words and a number, like MLflow's.

const qualities = (
  'amber brave brisk calm candid clever crisp daring eager early fair fleet fond frank gentle glad ' +
  'golden grand handy hardy honest humble jolly keen kind lively lucky mellow merry mild neat nimble ' +
  'noble patient placid proud quick quiet rapid ready robust rosy serene sharp silver sincere sleek ' +
  'smooth snug solid spry steady stout subtle sunny swift tidy tranquil upbeat vivid warm wise witty'
).split(' ')

const animals = (
  'auk badger beaver bison bittern boar bream carp chamois civet coot crane crow curlew dace deer dove ' +
  'duck eagle egret elk ermine falcon ferret finch fox goose grouse gull hare heron hoopoe ibex jackdaw ' +
  'jay kestrel kite lark linnet lizard lynx magpie marmot marten mole moth newt otter owl perch pike ' +
  'plover quail rail raven robin salmon seal shrew snipe sparrow stag stork swan tern thrush toad trout ' +
  'viper vole wagtail weasel wolf wren'
).split(' ')

const below = (count: number): number => Math.floor(Math.random() * count)
const oneOf = (words: readonly string[]): string => words[below(words.length)] ?? ''

/** `swift-otter-371`; for people, so not unique. */
export const randomName = (): string => `${oneOf(qualities)}-${oneOf(animals)}-${below(1000)}`
