from nltk.stem import PorterStemmer
from nltk.tokenize import wordpunct_tokenize

stemmer = PorterStemmer()


def handler(body):
    assert [stemmer.stem(word) for word in wordpunct_tokenize("running dogs jumped")] == ["run", "dog", "jump"]
