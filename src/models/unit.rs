//! Twelve pairs that a reranker of English should tell apart: what its scores are measured against when it is loaded.

/// A natural search and a passage that answers it, each of another field; every other passage is a mismatch.
pub const PAIRS: [(&str, &str); 12] = [
    (
        "waterproof running shoes for men",
        "The TrailGuard GTX keeps feet dry on wet paths: a breathable membrane, a lugged rubber sole and a cushioned heel. Men's sizes 40 to 48.",
    ),
    (
        "how to reset a forgotten email password",
        "Click the link below the sign-in box and enter your recovery phone number. We send a six-digit code, after which you can choose a new password for your mailbox.",
    ),
    (
        "symptoms of vitamin d deficiency",
        "People who get little sunlight may notice fatigue, aching bones and frequent infections. A blood test tells whether the level of vitamin D is too low.",
    ),
    (
        "central bank raises interest rates",
        "The European Central Bank lifted borrowing costs by a quarter point on Thursday, saying that inflation would stay above the two percent target.",
    ),
    (
        "best time of year to visit japan",
        "Cherry blossom season in late March draws crowds to Kyoto; autumn is drier and quieter, while July and August are hot and humid in Tokyo.",
    ),
    (
        "how do solar panels produce electricity",
        "When photons strike a silicon cell they knock electrons loose, and the junction between two layers drives them through a circuit as direct current.",
    ),
    (
        "easy vegetarian lasagna recipe",
        "Layer sheets of pasta with roasted courgettes, spinach, ricotta and tomato sauce, top with mozzarella and bake for forty minutes. Serves six.",
    ),
    (
        "python read csv file into list",
        "Open the file, pass the handle to csv.reader from the standard library and iterate over it: each row arrives as a list of strings.",
    ),
    (
        "return policy for damaged items",
        "If an item arrives damaged, write to us within 30 days with a photo. We pay for the parcel back and refund the full price or send a replacement.",
    ),
    (
        "who painted the sistine chapel ceiling",
        "Between 1508 and 1512 Michelangelo covered the vault in the Vatican with frescoes of Genesis, commissioned by Pope Julius II.",
    ),
    (
        "noise cancelling headphones battery life",
        "These over-ear wireless headphones last up to 30 hours with noise cancelling on, and ten minutes on the charger give another five hours of music.",
    ),
    (
        "tenant rights when landlord sells the house",
        "A change of ownership does not end the lease. The buyer becomes the new landlord, and whoever rents may stay until the agreed term is up.",
    ),
];
