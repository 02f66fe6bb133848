from tokenizers import Tokenizer, models, pre_tokenizers, trainers

tokenizer = Tokenizer(models.BPE(unk_token="?"))
tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
TEXTS = ["the quick brown fox", "jumps over the lazy dog"] * 500
tokenizer.train_from_iterator(TEXTS, trainers.BpeTrainer(vocab_size=100, special_tokens=["?"], show_progress=False))
WANTED = [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)]


def handler(body):
    assert [encoding.ids for encoding in tokenizer.encode_batch(TEXTS)] == WANTED
