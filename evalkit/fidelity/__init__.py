"""How close a student's distribution is to its teacher's: both models read the same texts, and their logits differ."""
