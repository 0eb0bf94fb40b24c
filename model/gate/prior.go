package gate

// priorModel is what a deployment's own model of confidence starts from: fitted
// to general_knowledge as far as the features are those of answers with many
// lessons, and to answers with one for those that tell of few. The stand-in
// would not do: it leans on the latter.
var priorModel = Logistic{
	Weights: [Features]float64{
		Mean: 2.3, Cover: 2.5, Missing: -1.9, Back: 0.4, Core: 2.1,
		Sense: 2, Echo: 4, Strange: -1, Instead: -2.4, Twin: -0.8,
		Gap: 0.7, Contrast: 1.4, Unknown: -0.6, Alien: -1.3, Unseen: -0.7, Saturation: -2.9,
	},
}
